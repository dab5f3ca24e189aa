"""A script's name -> its path: ours in trainers/, or one of diffusers' own, fetched once and checked.

diffusers' training scripts are in neither its wheel nor its source archive. A machine fetches the file that it needs
from the repository at the tag of the installed version, and keeps it in the user's cache folder.
DIFFUSERS_EXAMPLES=/path/to/diffusers/examples names a copy instead, for a machine without a way to github.com.
"""

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

TAG = "v0.40.0"
EXAMPLES_URL = f"https://raw.githubusercontent.com/huggingface/diffusers/{TAG}/examples"

# name: path under diffusers/examples, sha256 at TAG
OFFICIAL = {
    "train_text_to_image": (
        "text_to_image/train_text_to_image.py",
        "d4430bca96ab52aaed12d99132a4410b2db4b1114ec4cf85fb24cc0889ed8408",
    ),
    "train_text_to_image_lora": (
        "text_to_image/train_text_to_image_lora.py",
        "f1bb3a672a224456ef8b82782378a80625055211d3a12ad30effc262fc118381",
    ),
    "train_text_to_image_sdxl": (
        "text_to_image/train_text_to_image_sdxl.py",
        "687972614c5a2bc3a130cad29adbbcfd1d2cf13b512b7b5df0dea46d51a5202a",
    ),
    "train_text_to_image_lora_sdxl": (
        "text_to_image/train_text_to_image_lora_sdxl.py",
        "55edec3ed9d86d7fdcd665b0cac35f6cc6c324fcfc7949117dd9aac1e47d0d51",
    ),
    "train_unconditional": (
        "unconditional_image_generation/train_unconditional.py",
        "2bff18c8fe73d92037ae27a5e0f42575d60c75edbd4eb84a13ee1e7795613f2e",
    ),
}


def script_path(name: str, trainers: Path = Path("trainers"), examples_url: str = EXAMPLES_URL) -> Path:
    """Path of the training script `name`, such as "train_text_to_glyph".

    Raises ValueError if there is no such script, or its bytes are not those of diffusers at TAG, and OSError if it
    cannot be fetched; both say what to do.
    """
    if (trainers / f"{name}.py").is_file():
        return trainers / f"{name}.py"
    if name not in OFFICIAL:
        known = sorted({path.stem for path in trainers.glob("train_*.py")} | set(OFFICIAL))
        raise ValueError(f"no script {name}: a recipe's folder is named after one of {', '.join(known)}")
    path, checksum = OFFICIAL[name]

    if copy := os.environ.get("DIFFUSERS_EXAMPLES"):
        script = Path(copy) / path
        if not script.is_file():
            raise ValueError(f"no {script}: DIFFUSERS_EXAMPLES must name the folder examples of diffusers {TAG}")
        if sha256(script.read_bytes()) != checksum:
            raise ValueError(f"{script} is not that of diffusers {TAG}; a changed script goes into trainers/")
        return script

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    script = cache / "kanji-diffusion" / f"diffusers-{TAG[1:]}" / path
    if script.is_file() and sha256(script.read_bytes()) == checksum:
        return script
    try:
        with urllib.request.urlopen(f"{examples_url}/{path}", timeout=20) as response:
            content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise OSError(
            f"cannot fetch {examples_url}/{path} ({error}): "
            f"set DIFFUSERS_EXAMPLES=/path/to/diffusers/examples, a copy of diffusers at tag {TAG}"
        ) from None
    if sha256(content) != checksum:
        raise ValueError(f"what {examples_url}/{path} sent is not the file of diffusers {TAG} (wrong sha256)")
    script.parent.mkdir(parents=True, exist_ok=True)
    partial = script.with_suffix(f".{os.getpid()}.tmp")
    partial.write_bytes(content)
    partial.replace(script)
    return script


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()
