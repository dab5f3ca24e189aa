"""A whole Stable Diffusion of 0.2 million random weights, made in seconds: python -m models.tiny_stable_diffusion DIR

It has all that a real one has (unet, VAE, text encoder, tokenizer, scheduler), so that a training script, a checkpoint
and a drawing can be tried without a download. It has learnt nothing: what it draws is noise.
"""

import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path


def clip_tokenizer(folder):
    """A CLIPTokenizer of 514 tokens: each byte, each byte at the end of a word, and the two marks around a text."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    Path(folder, "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}), "utf-8")
    Path(folder, "merges.txt").write_text("#version: 0.2\n", "utf-8")  # no merges: a letter is a token
    return CLIPTokenizer(f"{folder}/vocab.json", f"{folder}/merges.txt", model_max_length=77)


def make(folder):
    """Write the model to `folder` as a StableDiffusionPipeline, whole or not at all; the same weights every time."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it advises a package that nothing here needs
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        tokenizer = clip_tokenizer(partial)
        text_encoder = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=4,
            cross_attention_dim=32,
        )
        vae = AutoencoderKL(  # 64 pixels a side become 16 positions
            block_out_channels=(8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            norm_num_groups=8,
            latent_channels=4,
            sample_size=64,
        )
        scheduler = PNDMScheduler(  # the noise schedule of Stable Diffusion 1.x
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        )
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=CLIPTextModel(text_encoder),
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(partial / "whole")
        if not folder.exists():  # or another launch was quicker
            (partial / "whole").rename(folder)
    finally:
        shutil.rmtree(partial)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    if os.path.exists(sys.argv[1]):
        sys.exit(f"{sys.argv[1]} is there already: delete it to have it made anew")
    make(sys.argv[1])
