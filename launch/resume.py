"""The newest whole checkpoint of a run: what a training that was killed can go on from.

accelerate writes a checkpoint into its final folder, so "the latest" may be half of one. Nothing is loaded here: a cut
or never written file shows in its length and in the place where its table of contents should be.
"""

import json
import re
import zipfile
from pathlib import Path

CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def damage(checkpoint: Path) -> str:
    """What is wrong with the folder of a checkpoint, in a few words; "" if it is whole."""
    if not (checkpoint / "random_states_0.pkl").is_file():  # what accelerate's save_state writes last
        return "random_states_0.pkl is missing"
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        if file.suffix == ".safetensors":
            problem = _safetensors_damage(file)
        elif file.suffix in (".bin", ".pkl", ".pt"):  # by torch.save: zip archives, whose contents stand at the end
            problem = "" if zipfile.is_zipfile(file) else "is cut short"
        else:
            problem = ""
        if problem:
            return f"{file.relative_to(checkpoint)} {problem}"
    return ""


def _safetensors_damage(file: Path) -> str:
    """A safetensors file is 8 bytes (length of the header), the header (JSON) and the tensors at the offsets in it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 0 < length <= size - 8:
            return "is cut short"
        try:
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        except (ValueError, TypeError, KeyError, AttributeError):
            return "has a damaged header"
    return "" if size == 8 + length + end else f"has {size} bytes of {8 + length + end}"


def newest_whole_checkpoint(run: Path) -> tuple[str, list[str]]:
    """(folder name of the newest whole checkpoint in `run` or "", what was passed over on the way and why)."""
    found = [(int(match[1]), path) for path in run.glob("checkpoint-*") if (match := CHECKPOINT.fullmatch(path.name))]
    passed_over = [f"{path}: it was never finished" for path in sorted(run.glob("checkpoint-*.tmp"))]
    for _, checkpoint in sorted(found, reverse=True):
        if not (problem := damage(checkpoint)):
            return checkpoint.name, passed_over
        passed_over.append(f"{checkpoint}: {problem}")
    return "", passed_over
