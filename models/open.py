"""Open what find_model finds as a pipeline that draws."""

import json

from models.find import OURS, find_model
from models.hub import plain_errors


def open_model(path, dtype=None, device="cpu"):
    """The pipeline at `path` (see find_model), ready to draw.

    dtype: a torch.dtype, by default float32. A Stable Diffusion takes it as a whole; of a TextToGlyphPipeline the unet
    only, for rounding the vectors of its text encoder costs more than it saves. device: as torch names it.
    A Stable Diffusion draws at the size, and with the prediction type, that its run.json says it was trained with.

    Raises what find_model raises, and ValueError for a model that cannot be loaded.
    """
    saved = find_model(path)
    if not saved.hub_id:
        for part, class_of in json.loads((saved.base / "model_index.json").read_text(encoding="utf-8")).items():
            # transformers makes an empty tokenizer, to which all words are the same, where there is no file of one
            needed = isinstance(class_of, list) and class_of[0] and part not in ("unet", *NOT_LOADED)
            if needed and not any((saved.base / part).glob("*")):
                raise ValueError(f"{path} cannot be opened: there is no {part} in {saved.base}")
    with plain_errors(saved.hub_id):
        try:
            pipe = _text_to_glyph(saved, dtype) if saved.kind == OURS else _stable_diffusion(saved, dtype)
            return pipe.to(device)
        except Exception as error:  # each of the libraries has errors of its own for a file that is cut short
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            if saved.hub_id and not saved.online:
                reason = f"its download is not whole, and the Hub is out of reach: connect and try again ({reason})"
            raise ValueError(f"{path} cannot be opened on {device}: {reason}") from error


# The safety checker blackens drawings that it takes for photographs; without it nothing needs the feature extractor.
NOT_LOADED = ("safety_checker", "feature_extractor")


def _text_to_glyph(saved, dtype):
    import torch
    from diffusers import UNet2DConditionModel
    from huggingface_hub import snapshot_download

    from models.text_to_glyph import TextToGlyphPipeline

    if saved.hub_id:
        checkpoints, commit = "checkpoint-*", saved.base.name
        snapshot_download(saved.hub_id, revision=commit, ignore_patterns=checkpoints, local_files_only=not saved.online)
    unet = UNet2DConditionModel.from_pretrained(saved.unet, dtype=dtype, use_safetensors=True)
    return TextToGlyphPipeline.from_pretrained(
        saved.base, unet=unet, dtype=torch.float32, use_safetensors=True, local_files_only=True
    )


def _stable_diffusion(saved, dtype):
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    dtype = dtype or torch.float32
    parts = dict.fromkeys(NOT_LOADED)
    if saved.unet.parent != saved.base:  # a checkpoint's: the base model's is then not even downloaded
        parts["unet"] = UNet2DConditionModel.from_pretrained(saved.unet, dtype=dtype)
    pipe = StableDiffusionPipeline.from_pretrained(
        saved.hub_id or saved.base,
        revision=saved.base.name if saved.hub_id else None,  # the commit that find_model found
        local_files_only=not saved.online,
        variant=saved.trained.get("variant") if saved.base != saved.run else None,
        dtype=dtype,
        requires_safety_checker=False,  # or it warns
        **parts,
    )
    if saved.lora:
        _load_lora(pipe, saved.lora)
    # what a pipeline keeps of its base model, whatever it was trained with
    if "resolution" in saved.trained:
        pipe.unet.register_to_config(sample_size=saved.trained["resolution"] // pipe.vae_scale_factor)
    if "prediction_type" in saved.trained:
        pipe.scheduler.register_to_config(prediction_type=saved.trained["prediction_type"])
    return pipe


def _load_lora(pipe, file):
    """Put the LoRA in `file` on `pipe`. Raises ValueError if not all of it finds a place, which diffusers lets pass."""
    from safetensors import safe_open

    pipe.load_lora_weights(file.parent, weight_name=file.name)
    with safe_open(file, "pt") as stored:
        trained = len(stored.keys())
    loaded = sum("lora_" in name for model in (pipe.unet, pipe.text_encoder) for name, _ in model.named_parameters())
    if loaded != trained:
        raise ValueError(
            f"{loaded} of the {trained} matrices of the LoRA fit its base model: it was trained on another"
        )
