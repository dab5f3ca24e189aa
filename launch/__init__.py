"""What launch_training.sh asks before it trains. No torch in here: every answer within two seconds."""
