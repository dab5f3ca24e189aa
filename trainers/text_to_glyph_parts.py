"""The parts that train_text_to_glyph.py puts together: unet, frozen parts, loss, validation sheet."""

from pathlib import Path

import numpy as np
import torch
import transformers
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr

from models.text_to_glyph import TextPooling, packaged_minilm, predict
from sheet import contact_sheet
from trainers.checkpoints import save_whole


def build_unet(args, text_dim):
    """An untrained unet whose time embedding takes a sentence vector of `text_dim` numbers beside the time."""

    down = args.down_block_types or ["DownBlock2D"] * len(args.block_out_channels)
    attends = any("CrossAttn" in block for block in (*down, args.mid_block_type))
    return UNet2DConditionModel(
        sample_size=args.resolution // args.patch_size,
        in_channels=args.channels * args.patch_size**2,
        out_channels=args.channels * args.patch_size**2,
        block_out_channels=args.block_out_channels,
        down_block_types=down,
        mid_block_type=args.mid_block_type,
        up_block_types=[block.replace("Down", "Up") for block in reversed(down)],
        layers_per_block=args.layers_per_block,
        dropout=args.dropout,
        attention_head_dim=args.attention_head_dim,
        cross_attention_dim=args.cross_attention_dim,
        encoder_hid_dim=text_dim if attends else None,
        encoder_hid_dim_type="text_proj" if attends else None,
        # the sentence scales and shifts every residual block: with attention alone a short training learns strokes
        # and no meaning (README, "What was tried")
        class_embed_type="projection",
        projection_class_embeddings_input_dim=text_dim,
        resnet_time_scale_shift="scale_shift",
    )


def load_frozen_parts(args):
    """-> text encoder, tokenizer, an unfitted TextPooling and the scheduler to draw with."""
    transformers.utils.logging.disable_progress_bar()  # over layers, a blink long
    source = args.text_encoder or packaged_minilm()
    text_encoder = transformers.AutoModelForTextEncoding.from_pretrained(source).eval().requires_grad_(False)
    # thresholding at 1: what is whiter than paper is paper (Saharia et al. 2022, arXiv:2205.11487)
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=args.ddpm_num_steps,
        beta_schedule=args.ddpm_beta_schedule,
        prediction_type=args.prediction_type,
        thresholding=True,
        sample_max_value=1.0,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    return text_encoder, tokenizer, TextPooling(text_encoder.config.hidden_size), scheduler


def save_frozen_parts(pipeline, output_dir):
    """All but the unet, at the start: with these a checkpoint is enough to draw."""

    for name in ("text_encoder", "tokenizer", "text_pooling", "scheduler"):
        save_whole(getattr(pipeline, name).save_pretrained, Path(output_dir) / name)
    save_whole(pipeline.save_config, Path(output_dir) / "index")
    (Path(output_dir) / "index" / "model_index.json").replace(Path(output_dir) / "model_index.json")
    (Path(output_dir) / "index").rmdir()


def training_loss(args, unet, noise_scheduler, pixels, condition, generator):
    """The loss of one batch: pixels (batch, channels, height, width) of -1 to 1, condition as `predict` takes it."""
    batch, device = len(pixels), pixels.device
    # one timestep from each of `batch` equal slices: the same distribution as independent draws, with less variance
    slices = torch.arange(batch, device=device) + torch.rand(batch, device=device, generator=generator)
    timesteps = (slices / batch * args.ddpm_num_steps).long().clamp(max=args.ddpm_num_steps - 1)
    noise = torch.randn(pixels.shape, device=device, generator=generator)
    if args.noise_offset:
        noise += args.noise_offset * torch.randn(batch, pixels.shape[1], 1, 1, device=device, generator=generator)
    noisy = noise_scheduler.add_noise(pixels, noise, timesteps)
    target = {"epsilon": noise, "sample": pixels}.get(args.prediction_type)
    if target is None:
        target = noise_scheduler.get_velocity(pixels, noise, timesteps)
    output = predict(unet, noisy, timesteps, *condition, args.patch_size)
    loss = (output.float() - target).square().mean((1, 2, 3))
    if args.snr_gamma is not None:
        snr = compute_snr(noise_scheduler, timesteps)
        divisor = {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[args.prediction_type]
        loss = loss * snr.clamp(max=args.snr_gamma) / divisor
    return loss.mean()


def validate(args, accelerator, pipeline, ema, step, real=None):
    """Draw the validation prompts with the averaged weights, each from the same noise at every step.

    real: a metrics.measure.Yardstick, to log what it tells of the drawings.
    """
    pipeline.set_progress_bar_config(disable=True)  # the bar of the training stays whole
    unet = pipeline.unet
    unet.eval()
    if ema:
        ema.store(unet.parameters())
        ema.copy_to(unet.parameters())
    generators = [torch.Generator().manual_seed(args.seed + n) for n in range(len(args.validation_prompts))]
    images = pipeline(args.validation_prompts, generator=generators).images
    if ema:
        ema.restore(unet.parameters())
    unet.train()
    sheet = contact_sheet([(prompt, [im]) for prompt, im in zip(args.validation_prompts, images, strict=True)])
    path = Path(args.output_dir) / "validation" / f"step-{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    if real:
        from metrics.measure import at_a_glance

        accelerator.log({f"validation/{key}": value for key, value in at_a_glance(real, images).items()}, step=step)
    for tracker in accelerator.trackers:
        if tracker.name in ("tensorboard", "wandb", "comet_ml"):
            tracker.log_images(
                {"validation": np.asarray(sheet)[None]},
                step=step,
                **({"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}),
            )
