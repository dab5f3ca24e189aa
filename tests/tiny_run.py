"""A run as the text_to_glyph trainer leaves it, small enough to draw in a moment; its weights are random."""

import json

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from transformers import AutoTokenizer, BertConfig, BertModel

from models.text_to_glyph import TextPooling, TextToGlyphPipeline, packaged_minilm


def tiny_unet(seed=0, channels=1):
    """A unet of 16 x 16 pixels in cells of 2 x 2; sides must be multiples of 4."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4 * channels,
        out_channels=4 * channels,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2D",
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=8,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    )


def save_tiny_run(folder, channels=1, guidance_scale=2.5, **record):
    """Save a finished run in `folder`; `record` goes into its run.json. Returns `folder`."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    encoder = BertModel(
        BertConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        )
    )
    scheduler = DDPMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    pipe = TextToGlyphPipeline(
        tiny_unet(channels=channels), scheduler, encoder, tokenizer, TextPooling(16), channels, guidance_scale
    )
    pipe.save_pretrained(folder)
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def unfinish(run, *steps):
    """Make of a finished run one that is still being trained, with checkpoints after so many `steps`."""
    for step in steps:
        tiny_unet(seed=step).save_pretrained(run / f"checkpoint-{step}" / "unet")
    for file in (run / "unet").iterdir():
        file.unlink()
    (run / "unet").rmdir()
    return run
