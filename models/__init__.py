"""What a run saves and generate.py opens: one file a kind of model, and open.py."""
