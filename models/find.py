"""Find what to draw with, without loading it: a run or a checkpoint in it, a LoRA, a pipeline's folder, a Hub id."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from models.hub import LORA, fetch_description

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
OURS, STABLE_DIFFUSION = "TextToGlyphPipeline", "StableDiffusionPipeline"
# where a pipeline's parts are from; any other would be a file of code beside the weights
LIBRARIES = ("diffusers", "transformers", "stable_diffusion", "models.text_to_glyph", None)
PROJECT = Path(__file__).resolve().parent.parent  # paths in a recipe are seen from here


class Saved(NamedTuple):
    """Where the parts of a model lie, and what is known of it."""

    name: str  # "quickstart", "quickstart-checkpoint-500", "CompVis--stable-diffusion-v1-4": safe as a folder's name
    kind: str  # the name of its pipeline's class
    run: Path  # the folder that has a run.json, if any has
    base: Path  # the folder of the pipeline: all parts but those below
    unet: Path  # the folder of the unet's weights
    lora: Path | None  # the file of the LoRA on top of them
    hub_id: str  # of the model that `base` is the cache of, whose weights may not be there yet; "" for a plain folder
    online: bool  # whether the Hub answered
    trained: dict  # what a Stable Diffusion's run.json says of base model, resolution and prediction type
    note: str  # what to tell a person before drawing with it, or ""


def find_model(path):
    """What `path` holds: a folder, or where there is none a model on the Hub (USER/NAME), whose index is fetched.

    A folder is a run, finished or not, of any of the scripts; a checkpoint-N in one; or a pipeline that something else
    saved. Of a run that is not finished the newest whole checkpoint is taken, and `note` says so. A checkpoint's
    averaged weights (unet_ema) are preferred to the last ones (unet). What a LoRA or a checkpoint of an official
    script does not hold comes from the base model that run.json names.

    Raises FileNotFoundError whose message names what was looked for and what is near; ValueError for what cannot be
    read or drawn with here, and for a model on the Hub that cannot be had.
    """
    path = os.fspath(path)
    folder, hub_id, online = _locate(path, Path())
    if not folder:
        raise FileNotFoundError(f"no model at {path}: not a folder. {_near(path)}")
    is_pipeline = (folder / "model_index.json").is_file()
    run = folder.parent if CHECKPOINT.fullmatch(folder.name) and not is_pipeline else folder
    # the official scripts write no index before their end, the LoRA one never does
    kind = _kind(run, path) if (run / "model_index.json").is_file() else STABLE_DIFFUSION
    for found in [folder] if run != folder else [run, *reversed(checkpoints(run))]:
        # of a pipeline on the Hub the weights come later
        if weights := folder / "unet" if hub_id and is_pipeline else _weights(found, kind):
            break
    else:
        raise FileNotFoundError(_nothing_there(path, folder, run))
    trained = _trained(run) if kind == STABLE_DIFFUSION else {}
    base, base_id = run, hub_id
    if not (run / "model_index.json").is_file():
        base, base_id, online = _base_model(path, run, trained)
    return Saved(
        name=hub_id.replace("/", "--") or (run.name if found == run else f"{run.name}-{found.name}"),
        kind=kind,
        run=run,
        base=base,
        unet=base / "unet" if weights.name == LORA else weights,
        lora=weights if weights.name == LORA else None,
        hub_id=base_id,
        online=online,
        trained=trained,
        note="" if found == folder else f"{path} is not finished: drawing with its newest checkpoint, {found.name}",
    )


def checkpoints(run):
    """The folders of a run's checkpoints, oldest first."""
    found = [folder for folder in Path(run).iterdir() if CHECKPOINT.fullmatch(folder.name)]
    return sorted(found, key=lambda folder: int(CHECKPOINT.fullmatch(folder.name)[1]))


def _locate(name, start, revision=None):
    """The folder of the model `name`, its Hub id and whether the Hub answered.

    That is (folder as seen from `start`, "", False) or (folder in the cache, Hub id, bool); or (None, "", False) for
    what is neither there nor looks like a Hub id: runs/typo does not, nor does any path below a folder that is there.
    """
    if name and os.path.isdir(start / name):
        # not resolve(): a linked run keeps the name that it was given
        return Path(os.path.abspath(start / name)), "", False
    owner = name.split("/")[0]
    if HUB_ID.fullmatch(name) and owner != "runs" and not os.path.isdir(start / owner):
        folder, online = fetch_description(name, revision)
        return folder, name, online
    return None, "", False


def _weights(folder, kind):
    """What to draw with in a run or a checkpoint: a unet's folder or a LoRA's file; None if it is not whole."""
    # The last file of a pipeline and of accelerate's checkpoints, which are written in place; our trainer renames.
    whole = kind == OURS or any((folder / last).is_file() for last in ("model_index.json", "random_states_0.pkl"))
    endings = (".safetensors",) if kind == OURS else (".safetensors", ".bin")  # .bin: pipelines saved before 2023
    for unet in (folder / "unet_ema", folder / "unet") if whole else ():
        if unet.is_dir() and any(file.suffix in endings for file in unet.iterdir()):
            return unet
    if (folder / LORA).is_file() and (whole or not CHECKPOINT.fullmatch(folder.name)):
        return folder / LORA
    return None


def _kind(folder, path):
    """The class of the pipeline in `folder`. Raises ValueError if it is none, or not one that can be opened here."""
    try:
        index = _read_json(folder / "model_index.json")
        kind, parts = index["_class_name"], [part for part in index.values() if isinstance(part, list)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: its model_index.json is not a pipeline's index: {error!r}") from error
    if isinstance(kind, list) or any(library not in LIBRARIES for library, *_ in parts):
        raise ValueError(f"{path} brings code of its own, which is not run here")
    if kind not in (OURS, STABLE_DIFFUSION):
        raise ValueError(f"{path} is a {kind}: only a {OURS} or a {STABLE_DIFFUSION} can be opened here")
    return kind


def _trained(run):
    """What the run.json of a Stable Diffusion says of its training; {} where there is none.

    Texts by the names of the scripts' flags: pretrained_model_name_or_path, revision, variant, prediction_type; and
    resolution, a number.
    """
    try:
        record = _read_json(run / "run.json")
        flags = ("pretrained_model_name_or_path", "revision", "variant", "resolution", "prediction_type")
        trained = {flag: record[flag] for flag in flags if record.get(flag)}
        if "script" in record and trained.get("pretrained_model_name_or_path"):
            trained.setdefault("resolution", 512)  # the official scripts' default
        if "resolution" in trained:
            trained["resolution"] = int(trained["resolution"])
        return trained
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{run / 'run.json'} cannot be read: {error}") from error


def _base_model(path, run, trained):
    """What `path` was tuned from, as `_locate` says it."""
    name = trained.get("pretrained_model_name_or_path")
    if not name:
        raise ValueError(
            f"{path} needs its base model: a run.json in {os.path.relpath(run)} that has "
            '{"pretrained_model_name_or_path": "USER/NAME or a folder"}'
        )
    try:
        base, hub_id, online = _locate(name, PROJECT, trained.get("revision"))
        if base and (base / "model_index.json").is_file() and _kind(base, name) == STABLE_DIFFUSION:
            return base, hub_id, online
    except ValueError as error:
        raise ValueError(f"the base model of {path}: {error}") from error
    if not base:
        raise FileNotFoundError(f"the base model of {path}, {name}, is gone: bring it back, or change it in run.json")
    raise ValueError(f"the base model of {path}, {name}, is no {STABLE_DIFFUSION}")


def _nothing_there(path, folder, run):
    """Why there is nothing to draw with at `path`, and what to do."""
    if folder != run and any((run / file).is_file() for file in ("model_index.json", "run.json")):
        return f"{path} is not a whole checkpoint: no weights in its unet_ema or unet, or it was not written to the end"
    if not any((run / file).is_file() for file in ("model_index.json", "run.json")):
        return f"no model at {path}: no model_index.json in {path}. {_near(path)}"
    if not (run / "model_index.json").is_file() and not checkpoints(run):
        return f"no model at {path}: only begun; wait a little, or launch its recipe again"
    return f"{path} has no weights yet, not even a whole checkpoint: wait, or launch its recipe again"


def _near(path):
    """The models in the folder where `path` would be and in runs/, as the end of an error message."""
    folders = dict.fromkeys([Path(os.path.abspath(path)).parent, Path("runs").absolute()])
    runs = [run for folder in folders if folder.is_dir() for run in sorted(folder.iterdir()) if run.is_dir()]
    marks = ("model_index.json", LORA, "checkpoint-*/random_states_0.pkl")
    found = [os.path.relpath(run) for run in runs if any(file for mark in marks for file in run.glob(mark))]
    return f"There is {', '.join(found[:10])}." if found else "Nothing is trained yet: ./launch_training.sh does that."


def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def fingerprint(saved):
    """The first 16 hex digits of a sha256 over the weights to draw with, their configuration and how they were trained.

    It tells a run from the same run trained again or over another base model, which a name cannot; about a second per
    gigabyte, and none for a model on the Hub, whose commit tells it.
    """
    digest = hashlib.sha256()
    files = [] if saved.hub_id and saved.unet.parent == saved.base else sorted(saved.unet.iterdir())
    for file in [*files, saved.lora] if saved.lora else files:
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    told = [saved.hub_id and saved.base.name, saved.trained.get("resolution"), saved.trained.get("prediction_type")]
    digest.update("".join(f"\n{word}" for word in told if word).encode())
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
