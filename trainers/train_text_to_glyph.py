"""Train a text-conditioned diffusion model in pixel space from scratch, on an imagefolder with captions.

Run by `accelerate launch`, which ./launch_training.sh calls with a recipe's flags. The run ends as a diffusers
pipeline (models/text_to_glyph.py) in --output_dir. Flags are those of diffusers' example scripts where the meaning is
the same.

All randomness is a function of the seed, the step and the process, and none of it a running state: that is what makes
a resumed run end in the same bytes as one that was never stopped.
"""

import argparse
import logging
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # accelerate runs this file by its path

LOG_STEPS = 10
SCHEDULES = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")


def parse_args(argv=None):
    """The command line as a namespace; exits with 2 and one line where it cannot be right."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    data = parser.add_argument_group("data")
    data.add_argument("--train_data_dir", help="an imagefolder with metadata.jsonl, such as data/starter/train")
    data.add_argument("--dataset_name", help="a dataset on the Hub, in place of --train_data_dir")
    data.add_argument("--image_column", default="image")
    data.add_argument("--caption_column", default="text", help="a text, or a list of texts: one is drawn at random")
    data.add_argument("--max_train_samples", type=int, help="use only the first this many images")
    data.add_argument("--resolution", type=int, default=64, help="images are fitted into this square, on white")
    data.add_argument("--channels", type=int, choices=(1, 3), default=1, help="1 for grey, 3 for colour")
    data.add_argument("--dataloader_num_workers", type=int, default=0, help="for images that do not fit in memory")

    model = parser.add_argument_group("model")
    model.add_argument("--block_out_channels", type=int, nargs="+", default=[128, 256])
    model.add_argument("--down_block_types", nargs="+", help="DownBlock2D (default) or CrossAttnDownBlock2D a level")
    model.add_argument("--mid_block_type", default="UNetMidBlock2D", help="or UNetMidBlock2DCrossAttn")
    model.add_argument("--layers_per_block", type=int, default=2)
    model.add_argument("--cross_attention_dim", type=int, default=256, help="width of the words that attention sees")
    model.add_argument("--attention_head_dim", type=int, default=8, help="heads a block, as diffusers counts them")
    model.add_argument("--dropout", type=float, default=0.0)
    model.add_argument("--patch_size", type=int, default=2, help="this square of pixels is one position of the unet")
    model.add_argument("--text_encoder", help="folder or Hub id of a BERT, T5 or CLIP encoder (default: MiniLM, local)")

    noise = parser.add_argument_group("diffusion")
    noise.add_argument("--ddpm_num_steps", type=int, default=1000)
    noise.add_argument("--ddpm_beta_schedule", default="scaled_linear", help="or linear, squaredcos_cap_v2")
    noise.add_argument("--prediction_type", choices=("epsilon", "v_prediction", "sample"), default="v_prediction")
    noise.add_argument("--snr_gamma", type=float, help="min-SNR weighting of the loss (arXiv:2303.09556), usually 5")
    noise.add_argument("--noise_offset", type=float, default=0.0)
    noise.add_argument("--proportion_empty_prompts", type=float, default=0.1, help="for classifier-free guidance")
    noise.add_argument("--caption_noise", type=float, default=0.0, help="noise on the standardised sentence vectors")
    noise.add_argument("--guidance_scale", type=float, default=2.5, help="what the saved pipeline draws with")

    train = parser.add_argument_group("training")
    train.add_argument("--output_dir", required=True)
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--train_batch_size", type=int, default=32, help="images a process and a backward pass")
    train.add_argument("--num_train_epochs", type=int, default=100)
    train.add_argument("--max_train_steps", type=int, help="overrides --num_train_epochs")
    train.add_argument("--gradient_accumulation_steps", type=int, default=1)
    train.add_argument("--gradient_checkpointing", action="store_true")
    train.add_argument("--learning_rate", type=float, default=1e-4)
    train.add_argument("--lr_scheduler", choices=SCHEDULES, default="constant")
    train.add_argument("--lr_warmup_steps", type=int, default=0)
    train.add_argument("--use_8bit_adam", action="store_true")
    train.add_argument("--adam_beta1", type=float, default=0.9)
    train.add_argument("--adam_beta2", type=float, default=0.999)
    train.add_argument("--adam_weight_decay", type=float, default=1e-2)
    train.add_argument("--adam_epsilon", type=float, default=1e-8)
    train.add_argument("--max_grad_norm", type=float, default=1.0)
    train.add_argument("--use_ema", action="store_true", help="draw with a running average of the weights")
    train.add_argument("--ema_max_decay", type=float, default=0.9999)
    train.add_argument("--mixed_precision", choices=("no", "fp16", "bf16"), help="default: accelerate's own setting")
    train.add_argument("--allow_tf32", action="store_true")

    watch = parser.add_argument_group("checkpoints and watching")
    watch.add_argument("--checkpointing_steps", type=int, default=500)
    watch.add_argument("--checkpoints_total_limit", type=int, help="keep only the newest this many")
    watch.add_argument("--resume_from_checkpoint", help='a checkpoint\'s folder, or "latest"')
    watch.add_argument("--validation_prompts", nargs="+", help="drawn to OUTPUT_DIR/validation and to the tracker")
    watch.add_argument("--validation_steps", type=int, default=500)
    watch.add_argument("--judge_dataset", help="data such as data/kanji, whose judge tells copies and legible drawings")
    watch.add_argument("--report_to", default="tensorboard", help="tensorboard, wandb, comet_ml, all or none")
    watch.add_argument("--logging_dir", default="logs", help="inside --output_dir")
    watch.add_argument("--tracker_project_name", default="text_to_glyph")
    args = parser.parse_args(argv)

    if bool(args.train_data_dir) == bool(args.dataset_name):
        parser.error("name one of --train_data_dir and --dataset_name")
    if args.down_block_types and len(args.down_block_types) != len(args.block_out_channels):
        parser.error("--down_block_types and --block_out_channels must be as long as each other")
    cell = args.patch_size * 2 ** (len(args.block_out_channels) - 1)
    if args.resolution % cell:
        parser.error(f"--resolution {args.resolution} is no multiple of {cell}, which this unet needs")
    for name in ("train_batch_size", "gradient_accumulation_steps", "checkpointing_steps", "validation_steps"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if not 0 <= args.proportion_empty_prompts <= 1:
        parser.error("--proportion_empty_prompts is a share, from 0 to 1")
    return args


def main(args):
    """Train as `args` says; see the module's docstring. Raises ValueError for what the data or a checkpoint lacks."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it advises a package that nothing here needs
    import torch
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    from models.text_to_glyph import TextToGlyphPipeline, uses_tokens
    from trainers.captioned_images import CaptionedImages, Captions, load_rows, row_captions
    from trainers.checkpoints import find_checkpoint, register_checkpoint_hooks, save_whole
    from trainers.text_to_glyph_parts import build_unet, load_frozen_parts, save_frozen_parts

    judge = None
    if args.judge_dataset:  # before the seed is set, and on all processes: while one trained it, the others would wait
        from metrics.glyphs import fingerprint
        from metrics.judge import FILE, open_judge

        judge, why_not = open_judge(Path(args.judge_dataset, FILE), fingerprint(args.judge_dataset))
        if judge is None:
            make = f"python -m metrics.components --dataset {args.judge_dataset} makes it"
            raise ValueError(f"--judge_dataset {args.judge_dataset} has no judge ({why_not}): {make}")
    output_dir = Path(args.output_dir)
    first_step, checkpoint = find_checkpoint(output_dir, args.resume_from_checkpoint)
    accelerator = Accelerator(
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        mixed_precision=args.mixed_precision,
        log_with=None if args.report_to == "none" else args.report_to,
        project_config=ProjectConfiguration(str(output_dir), logging_dir=str(output_dir / args.logging_dir)),
    )
    rank, world, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    backend = f", {torch.distributed.get_backend()}" if world > 1 else ""
    print(
        f"process {rank + 1} of {world} on {device.type}{backend}, precision {accelerator.mixed_precision}", flush=True
    )
    torch.backends.cuda.matmul.allow_tf32 = args.allow_tf32
    torch.manual_seed(args.seed)
    quiet = not accelerator.is_local_main_process

    with accelerator.main_process_first():  # the others read what the first has put in the cache
        rows = load_rows(args)
    images = CaptionedImages(rows, args.image_column, args.resolution, args.channels, world, quiet)
    text_encoder, tokenizer, text_pooling, draw_scheduler = load_frozen_parts(args)
    unet = build_unet(args, text_pooling.config.dim)
    texts, keep_tokens = row_captions(rows, args.caption_column), uses_tokens(unet)
    captions = Captions(texts, text_encoder.to(device), tokenizer, text_pooling.to(device), keep_tokens, quiet)
    parts = (draw_scheduler, text_encoder, tokenizer, text_pooling, args.channels, args.guidance_scale)
    pipeline = TextToGlyphPipeline(unet, *parts)
    if accelerator.is_main_process:
        save_frozen_parts(pipeline, output_dir)

    if args.use_8bit_adam:
        from bitsandbytes.optim import AdamW8bit as AdamW
    else:
        from torch.optim import AdamW
    betas = (args.adam_beta1, args.adam_beta2)
    decay, eps = args.adam_weight_decay, args.adam_epsilon
    optimizer = AdamW(unet.parameters(), lr=args.learning_rate, betas=betas, weight_decay=decay, eps=eps)
    images_per_step = args.train_batch_size * world * args.gradient_accumulation_steps
    if not args.max_train_steps:
        args.max_train_steps = math.ceil(args.num_train_epochs * len(rows) / images_per_step)
    schedule = {"num_warmup_steps": args.lr_warmup_steps, "num_training_steps": args.max_train_steps}
    lr_scheduler = get_scheduler(args.lr_scheduler, optimizer, **schedule)
    if args.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    unet, optimizer = accelerator.prepare(unet, optimizer)
    plain_unet = pipeline.unet = accelerator.unwrap_model(unet)
    ema = None
    if args.use_ema:
        kind = {"model_cls": type(plain_unet), "model_config": plain_unet.config}
        ema = EMAModel(plain_unet.parameters(), args.ema_max_decay, foreach=True, **kind)
    accelerator.register_for_checkpointing(lr_scheduler)
    register_checkpoint_hooks(accelerator, ema)
    if checkpoint:
        accelerator.load_state(str(checkpoint))
        if ema:
            ema.optimization_step = first_step  # how strongly it averages
    accelerator.print(
        f"{len(rows)} images, {len(captions)} different captions, {plain_unet.num_parameters() / 1e6:.1f}M parameters, "
        f"{images_per_step} images a step, steps {first_step} to {args.max_train_steps}"
    )
    train(args, accelerator, pipeline, unet, ema, optimizer, lr_scheduler, images, captions, first_step, judge)

    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if ema:
            ema.copy_to(plain_unet.parameters())
        save_whole(plain_unet.save_pretrained, output_dir / "unet")
    accelerator.end_training()


def train(args, accelerator, pipeline, unet, ema, optimizer, lr_scheduler, images, captions, first_step, judge=None):
    """The steps from `first_step` to --max_train_steps, with their checkpoints and validation sheets."""
    import torch
    from diffusers import DDPMScheduler
    from tqdm.auto import tqdm

    from trainers.captioned_images import batch_seed
    from trainers.checkpoints import save_checkpoint
    from trainers.text_to_glyph_parts import training_loss, validate

    rank, world, main_process = accelerator.process_index, accelerator.num_processes, accelerator.is_main_process
    if main_process and args.report_to != "none":
        settings = {key: value if isinstance(value, (int, float)) else str(value) for key, value in vars(args).items()}
        accelerator.init_trackers(args.tracker_project_name, config=settings)
    noise_scheduler = DDPMScheduler(
        args.ddpm_num_steps, beta_schedule=args.ddpm_beta_schedule, prediction_type=args.prediction_type
    )
    first_batch = first_step * args.gradient_accumulation_steps
    batches = images.batches(args.train_batch_size, args.seed, rank, world, first_batch, args.dataloader_num_workers)
    real = None
    if main_process and judge and args.validation_prompts:
        from metrics.measure import yardstick

        real = yardstick(args.judge_dataset, judge, args.resolution)
    bar = tqdm(total=args.max_train_steps, initial=first_step, desc="training", unit="step", disable=not main_process)
    step, number = first_step, first_batch
    while step < args.max_train_steps:
        rows, pixels = next(batches)
        generator = torch.Generator(accelerator.device).manual_seed(batch_seed(args.seed, number, rank))
        number += 1
        with accelerator.accumulate(unet):
            condition = captions.pick(rows, generator, args.proportion_empty_prompts, args.caption_noise)
            pixels = pixels.to(accelerator.device, non_blocking=True)
            loss = training_loss(args, unet, noise_scheduler, pixels, condition, generator)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(unet.parameters(), args.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
        if not accelerator.sync_gradients:
            continue
        lr_scheduler.step()
        if ema:
            ema.step(pipeline.unet.parameters())
        step += 1
        bar.update()

        due = step % args.checkpointing_steps == 0
        if due or step % LOG_STEPS == 0:  # reading the loss waits for the device, so not at every step
            value = accelerator.reduce(loss.detach(), "mean").item()
            if not math.isfinite(value):
                raise ValueError(
                    f"the loss is {value} at step {step}: the newest checkpoint in {args.output_dir} is from before; "
                    "go on from it with a smaller --learning_rate or with --mixed_precision no"
                )
            bar.set_postfix(loss=f"{value:.4f}", lr=f"{lr_scheduler.get_last_lr()[0]:.1e}")
            accelerator.log({"loss": value, "lr": lr_scheduler.get_last_lr()[0]}, step=step)
        if due or step == args.max_train_steps:
            save_checkpoint(accelerator, args.output_dir, step, args.checkpoints_total_limit)
        if main_process and args.validation_prompts and step % args.validation_steps == 0:
            validate(args, accelerator, pipeline, ema, step, real)
    bar.close()


if __name__ == "__main__":
    arguments = parse_args()
    try:
        main(arguments)
    except ValueError as error:
        sys.exit(f"train_text_to_glyph: {error}")
