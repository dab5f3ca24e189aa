"""Open what a run saved as a pipeline that draws: a finished run, or a checkpoint of one that is not finished."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

CHECKPOINT = re.compile(r"checkpoint-(\d+)")  # whole: a trainer gives this name when everything is written


class Saved(NamedTuple):
    """Where the parts of a model lie."""

    run: Path  # the run's folder: text encoder, tokenizer, scheduler, model_index.json, run.json
    unet: Path  # the folder of the weights to draw with
    name: str  # "quickstart", or "quickstart-checkpoint-500"
    kind: str  # the name of its pipeline's class
    note: str  # what to tell a person before drawing with it, or ""


def find_model(path):
    """What `path` holds, found without loading anything: a run's folder, or a checkpoint-N folder in one.

    A run has a model_index.json from its start and the unet's weights from its end. Before that its newest checkpoint
    is taken, and `note` says so. A checkpoint's averaged weights (unet_ema) are preferred to the last ones (unet).

    Raises FileNotFoundError whose message names what was looked for and what is near, ValueError for an index that
    cannot be read.
    """
    if not os.path.isdir(path):
        raise FileNotFoundError(f"no model at {path}: not a folder. {_near(path)}")
    folder = Path(os.path.abspath(path))  # not resolve(): a linked run keeps the name that it was given
    run = folder.parent if CHECKPOINT.fullmatch(folder.name) else folder
    if not (run / "model_index.json").is_file():
        begun = "only begun; wait a little, or launch its recipe again" if (run / "run.json").is_file() else _near(path)
        raise FileNotFoundError(f"no model at {path}: no model_index.json in {os.path.relpath(run)}. {begun}")
    if run != folder:
        if unet := _weights(folder):
            return Saved(run, unet, f"{run.name}-{folder.name}", _kind(run), "")
        raise FileNotFoundError(f"{path} is not a whole checkpoint: no weights in its unet_ema or unet")
    if unet := _weights(run):
        return Saved(run, unet, run.name, _kind(run), "")
    for checkpoint in reversed(checkpoints(run)):
        if unet := _weights(checkpoint):
            note = f"{path} is not finished: drawing with its newest checkpoint, {checkpoint.name}"
            return Saved(run, unet, f"{run.name}-{checkpoint.name}", _kind(run), note)
    raise FileNotFoundError(f"{path} has no weights yet, not even a checkpoint: wait, or launch its recipe again")


def checkpoints(run):
    """The folders of a run's whole checkpoints, oldest first."""
    found = [folder for folder in Path(run).iterdir() if CHECKPOINT.fullmatch(folder.name)]
    return sorted(found, key=lambda folder: int(CHECKPOINT.fullmatch(folder.name)[1]))


def _weights(folder):
    return next((folder / part for part in ("unet_ema", "unet") if any((folder / part).glob("*.safetensors"))), None)


def _kind(run):
    try:
        return _read_json(run / "model_index.json")["_class_name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{run / 'model_index.json'} is not a pipeline's index: {error!r}") from error


def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def _near(path):
    """The models in the folder where `path` would be and in runs/, as the end of an error message."""
    folders = dict.fromkeys([Path(os.path.abspath(path)).parent, Path("runs").absolute()])
    runs = [run for folder in folders if folder.is_dir() for run in sorted(folder.iterdir()) if run.is_dir()]
    found = [os.path.relpath(run) for run in runs if (run / "model_index.json").is_file()]
    return f"There is {', '.join(found[:10])}." if found else "Nothing is trained yet: ./launch_training.sh does that."


def fingerprint(saved):
    """The first 16 hex digits of a sha256 over the weights to draw with and their configuration.

    It tells a run from the same run trained again, which a name cannot; about a second per gigabyte.
    """
    digest = hashlib.sha256()
    for file in sorted(saved.unet.iterdir()):
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def caption_template(run):
    """The template of a run's captions, into which a new word goes as {meanings}; from its run.json.

    Raises ValueError for a template with other fields, which a new word has no values for.
    """
    try:
        template = _read_json(run / "run.json").get("caption_template") or "{meanings}"
    except FileNotFoundError:
        return "{meanings}"
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{run / 'run.json'} cannot be read ({error}): --raw_prompt does without it") from error
    try:
        if "WORD" in template.format(meanings="WORD"):
            return template
    except (KeyError, IndexError, ValueError, AttributeError):
        pass
    raise ValueError(f"the captions of this run, {template!r}, need more or less than {{meanings}}: use --raw_prompt")


def open_model(path, dtype=None, device="cpu"):
    """The pipeline at `path` (see find_model), ready to draw.

    dtype: the unet's torch.dtype, by default float32; the text encoder stays in float32, for rounding its vectors
    costs more than it saves. device: as torch names it.

    Raises what find_model raises, and ValueError for a model that is of a kind unknown here or cannot be loaded.
    """
    saved = find_model(path)
    if saved.kind != "TextToGlyphPipeline":
        raise ValueError(f"{path} is a {saved.kind}: only a TextToGlyphPipeline can be opened here")
    for part, class_of in _read_json(saved.run / "model_index.json").items():
        # transformers makes an empty tokenizer, to which all words are the same, where there is no file of one
        if isinstance(class_of, list) and part != "unet" and not any((saved.run / part).glob("*")):
            raise ValueError(f"{path} cannot be opened: it has no {part}")
    import torch
    from diffusers import UNet2DConditionModel

    from models.text_to_glyph import TextToGlyphPipeline

    try:
        unet = UNet2DConditionModel.from_pretrained(saved.unet, dtype=dtype, use_safetensors=True)
        pipe = TextToGlyphPipeline.from_pretrained(
            saved.run, unet=unet, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        return pipe.to(device)
    except Exception as error:  # each of the libraries has errors of its own for a file that is cut short
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} cannot be opened on {device}: {type(error).__name__}: {reason}") from error
