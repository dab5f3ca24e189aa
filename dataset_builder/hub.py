"""A folder made by parquet.py -> a dataset on the Hub (huggingface.co, or where HF_ENDPOINT points).

The login is huggingface_hub's own, `hf auth login` or HF_TOKEN. The token goes into requests and nowhere else: what is
said of an error is written here, or is what the Hub answered.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder import DataError, parquet

if TYPE_CHECKING:
    from huggingface_hub import HfApi

GO_ON = "the same command goes on from here"


def check(repo: str, public: bool) -> None:
    """Raise DataError where `repo` could not be published to, as far as that can be known before a build."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        user, _ = repo.split("/")
    except (HFValidationError, ValueError):
        raise DataError(
            f"--push_to_hub {repo}: not of the form USER/NAME (letters, digits, '-', '_', '.'; at most 96 characters)"
        ) from None
    with plain_errors(repo):
        api = log_in()
        account = api.whoami()
        refuse_public(api, repo, public)
    role = account.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise DataError(
            f"the token of {account['name']} can only read: make one that can write, {api.endpoint}/settings/tokens"
        )
    names = [account["name"], *(organisation["name"] for organisation in account.get("orgs", []))]
    if role == "write" and user.lower() not in map(str.lower, names):  # what a fine-grained one may do is not said
        raise DataError(f"--push_to_hub {repo}: you are {' or '.join(names)}, not {user}")


def push(folder: Path, repo: str, public: bool) -> str:
    """Publish the files of an export in one commit, in place of those of an earlier one; returns the dataset's address.

    The dataset is made if need be, private: only when everything is there, `public` makes it public. Raises DataError
    where the Hub refuses, cannot be reached or the connection breaks: the dataset is then what it was before.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with plain_errors(repo):
        api = log_in()
        url = api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        refuse_public(api, repo, public)
        ours = parquet.files(folder)
        stale = [path for path in api.list_repo_files(repo, repo_type="dataset") if path.startswith("data/")]
        # Not upload_folder: it may split a large folder into several commits.
        api.create_commit(
            repo,
            [CommitOperationAdd(path, folder / path) for path in ours]
            + [CommitOperationDelete(path) for path in stale if path not in ours],
            commit_message=f"Dataset built by Kanji Diffusion ({folder.name})",
            repo_type="dataset",
        )
        if public:
            api.update_repo_settings(repo, private=False, repo_type="dataset")
    return str(url)


def log_in() -> "HfApi":
    """The Hub with the user's login; raises DataError where there is none."""
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise DataError("not logged in to the Hub: `hf auth login`, or set HF_TOKEN to a token that can write")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise DataError("the Hub's token (HF_TOKEN, or that of `hf auth login`) holds characters that no token has")
    return HfApi(token=token)


def refuse_public(api: "HfApi", repo: str, public: bool) -> None:
    """Raise DataError where anybody could see what is pushed and that was not asked for."""
    from huggingface_hub.errors import RepositoryNotFoundError

    with contextlib.suppress(RepositoryNotFoundError):
        if not public and not api.repo_info(repo, repo_type="dataset").private:
            raise DataError(f"{repo} is public on the Hub: say --public to publish it for everybody to see")


@contextlib.contextmanager
def plain_errors(repo: str) -> Iterator[None]:
    """Errors of the Hub and on the way to it as DataErrors of one line."""
    import httpx
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        try:
            yield
        except RuntimeError as error:  # so an upload wraps what happened to one of its files
            raise error.__cause__ or error from None
    except OfflineModeIsEnabled:
        raise DataError("HF_HUB_OFFLINE is set: nothing can be pushed") from None
    except HfHubHTTPError as error:
        status, user = error.response.status_code, repo.split("/")[0]
        said = " ".join((error.server_message or error.response.reason_phrase).split())
        if status == 401:
            said = "it does not know the token (mistyped, or expired): `hf auth login`, or set HF_TOKEN anew"
        elif status == 403:
            said = f"the token may not write to {repo}: it needs the right to, and you a part in {user}"
        elif status == 404:
            said = f"there is no {repo}, and no {user} in whose name this token could make it"
        elif status == 429 or status >= 500:
            said += f"; {GO_ON} later"
        raise DataError(f"the Hub refuses (HTTP {status}): {said}") from None
    except (httpx.TransportError, ConnectionError, RuntimeError, ValueError) as error:  # ConnectionError: of hf_xet
        reason = " ".join(str(error).split())
        raise DataError(f"cannot get through to the Hub, {constants.ENDPOINT} ({reason}): {GO_ON}") from None
