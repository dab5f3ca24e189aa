"""`--push_to_hub`: the real client in a real process against a Hub on the loopback."""

import os
import shutil
import subprocess
import sys

import loopback_hub
import pytest
from small_sources import assert_same_rows, content

from dataset_builder.__main__ import main

NAME = "user/starter"
PUSH = ["--push_to_hub", NAME]


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    """data/starter with its export, small."""
    out = tmp_path_factory.mktemp("starter") / "starter"
    main(["starter", "--resolution", "32", "--export", "parquet", "--output", str(out)])
    return out.parent


@pytest.fixture
def hub():
    server = loopback_hub.Hub()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def push(hub, starter, start, tmp_path):
    """Pushes the starter data as a process; returns (exit code, stdout, the lines of stderr that are no progress)."""
    shutil.copytree(starter, tmp_path / "data")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "home" / "hf"),
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": loopback_hub.TOKEN,
        "HF_HUB_DISABLE_XET": "1",  # the Hub's own storage protocol is more than a test can play
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }

    def run(*options, output="starter", **variables) -> tuple[int, str, str]:
        arguments = ["starter", "--resolution", "32", "--output", tmp_path / "data" / output, *options]
        process = start(*arguments, env=environment | variables)
        said, errors = process.communicate()
        assert "Traceback" not in errors
        secret = (variables.get("HF_TOKEN") or loopback_hub.TOKEN)[:9]  # what an error quotes may be cut or escaped
        assert secret not in said + errors
        assert not [name for name, file in content(tmp_path / "data").items() if secret.encode() in file]
        return process.returncode, said, "\n".join(line for line in errors.splitlines() if line.startswith("error"))

    return run


def test_what_is_published_is_the_export_byte_for_byte_in_one_private_commit(hub, push, tmp_path):
    code, said, errors = push(*PUSH)
    assert (code, errors) == (0, "")
    published = hub.repos[NAME]
    export = content(tmp_path / "data" / "starter-parquet")
    assert published["private"] and published["commits"] == [list(export)]
    assert {path: file for path, file in published["files"].items() if path != ".gitattributes"} == export
    assert f"{hub.url}/datasets/{NAME} is up to date, private" in said
    card = export["README.md"].decode()
    assert f'load_dataset("{NAME}")' in card and f"dataset_name: {NAME}" in card and f'load_dataset("{NAME}")' in said


def test_load_dataset_opens_it_by_its_name_and_gives_the_rows_of_the_imagefolder(hub, push, starter, tmp_path):
    from datasets import load_from_disk

    push(*PUSH)
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": loopback_hub.TOKEN, "HF_HOME": str(tmp_path / "hf")}
    script = f"from datasets import load_dataset; load_dataset('{NAME}').save_to_disk('{tmp_path / 'read'}')"
    subprocess.run([sys.executable, "-c", script], env=os.environ | environment, capture_output=True, check=True)
    assert assert_same_rows(starter / "starter", load_from_disk(tmp_path / "read")) == 80


def test_it_is_built_first_where_it_is_not_there(hub, push, tmp_path):
    assert push(*PUSH, output="new")[0] == 0
    assert content(tmp_path / "data" / "new-parquet") == content(tmp_path / "data" / "starter-parquet") | {
        "README.md": hub.repos[NAME]["files"]["README.md"]
    }


@pytest.mark.parametrize("before", ["new", "private", "public"])
def test_public_is_what_was_said_and_only_once_all_is_there(hub, push, before):
    if before != "new":
        hub.repos[NAME] = {"private": before == "private", "files": {}, "commits": []}
    code, said, _ = push(*PUSH, "--public")
    assert code == 0 and not hub.repos[NAME]["private"] and "for everybody to see" in said
    settings, commit = (
        next(i for i, asked in enumerate(hub.asked) if end in asked) for end in ("/settings", "/commit/")
    )
    assert commit < settings


def test_nothing_is_published_by_accident(hub, push, tmp_path):
    hub.repos[NAME] = {"private": False, "files": {"thesis": b"thesis"}, "commits": []}
    code, _, errors = push(*PUSH, output="new")
    assert code == 1 and f"{NAME} is public on the Hub: say --public" in errors
    assert hub.repos[NAME] == {"private": False, "files": {"thesis": b"thesis"}, "commits": []}
    assert not (tmp_path / "data" / "new").exists()


def test_nothing_is_uploaded_to_a_dataset_that_has_become_public_since(hub, push):
    hub.always_public = True
    code, _, errors = push(*PUSH)
    assert code == 1 and "is public on the Hub" in errors
    assert not hub.repos[NAME]["commits"] and not hub.lfs


def test_the_same_again_is_no_commit(hub, push):
    push(*PUSH)
    assert push(*PUSH)[0] == 0
    assert len(hub.repos[NAME]["commits"]) == 1


def test_stale_shards_go_with_the_same_commit_and_other_files_stay(hub, push):
    stale = [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
    ]
    hub.repos[NAME] = {"private": True, "files": dict.fromkeys([*stale, "LICENSE"], b"old"), "commits": []}
    assert push(*PUSH)[0] == 0
    assert list(hub.repos[NAME]["files"]) == [
        "LICENSE",
        "README.md",
        "preview.png",
        "data/train-00000-of-00001.parquet",
    ]
    assert len(hub.repos[NAME]["commits"]) == 1


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"HF_TOKEN": ""}, "not logged in to the Hub: `hf auth login`, or set HF_TOKEN"),
        ({"HF_TOKEN": "hf_mistyped"}, "HTTP 401"),
        ({"HF_TOKEN": "hf_brokenUp\x07byTerminal"}, "characters that no token has"),
        ({"HF_TOKEN": "hf_brokenUp byTerminal"}, "characters that no token has"),
        ({"HF_TOKEN": "hf_brokenUp—byTerminal"}, "characters that no token has"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot get through to the Hub, http://127.0.0.1:9"),
    ],
)
def test_a_login_that_does_not_work_is_one_line_before_anything_is_built(hub, push, tmp_path, variables, complaint):
    code, _, errors = push(*PUSH, "--public", output="new", **variables)
    assert code == 1 and complaint in errors and errors.count("\n") == 0
    assert not hub.repos and not (tmp_path / "data" / "new").exists()


@pytest.mark.parametrize(
    ("role", "name", "complaint"),
    [
        ("read", NAME, "can only read"),
        ("write", "somebody/starter", "you are user or club, not somebody"),
    ],
)
def test_a_token_that_may_not_write_there_is_one_line_before_anything_is_built(
    hub, push, tmp_path, role, name, complaint
):
    hub.role = role
    code, _, errors = push("--push_to_hub", name, output="new")
    assert code == 1 and complaint in errors and not hub.repos and not (tmp_path / "data" / "new").exists()


def test_an_organisation_of_ones_own_is_fine(hub, push):
    assert push("--push_to_hub", "Club/starter")[0] == 0
    assert list(hub.repos) == ["Club/starter"]


def test_the_stored_login_is_used(hub, push, tmp_path):
    (tmp_path / "home" / "hf").mkdir(parents=True)
    (tmp_path / "home" / "hf" / "token").write_text(loopback_hub.TOKEN)
    assert push(*PUSH, HF_TOKEN="")[0] == 0
    assert hub.repos[NAME]["commits"]


@pytest.mark.parametrize(
    ("where", "status", "complaint"),
    [
        (("POST", "/repos/create"), 403, "HTTP 403): the token may not write to user/starter"),
        (("POST", "/repos/create"), 404, "HTTP 404): there is no user/starter"),
        (("PUT", "/lfs/"), 403, "HTTP 403"),
        (("POST", "/commit/"), 503, "HTTP 503): the fake Hub was told to; the same command goes on from here later"),
    ],
)
def test_a_refusal_on_the_way_is_one_line_and_publishes_nothing(hub, push, where, status, complaint):
    hub.faults[where] = status
    code, _, errors = push(*PUSH, "--public")
    assert code == 1 and complaint in errors and errors.count("\n") == 0
    repo = hub.repos.get(NAME, {"private": True, "commits": []})
    assert repo["private"] and not repo["commits"]


def test_a_connection_that_drops_in_the_middle_leaves_nothing_half_and_the_same_command_goes_on(hub, push):
    hub.faults["POST", "/commit/"] = "drop"
    code, _, errors = push(*PUSH, "--public")
    assert code == 1 and "cannot get through to the Hub" in errors and "the same command goes on" in errors
    assert errors.count("\n") == 0 and hub.repos[NAME]["private"] and not hub.repos[NAME]["commits"]
    hub.faults.clear()
    assert push(*PUSH, "--public")[0] == 0
    assert len(hub.repos[NAME]["commits"]) == 1 and not hub.repos[NAME]["private"]


def test_a_refusal_of_the_hubs_own_storage_is_one_line(hub, push):
    hub.faults["GET", "/xet-write-token/"] = 403
    code, _, errors = push(*PUSH, HF_HUB_DISABLE_XET="0")
    assert code == 1 and "403" in errors and "the Hub" in errors and errors.count("\n") == 0
    assert not hub.repos[NAME]["commits"]


def test_a_file_that_is_no_part_of_the_export_is_not_published(hub, push, tmp_path):
    (tmp_path / "data" / "starter-parquet" / "secret.txt").write_text("secret")
    code, _, errors = push(*PUSH)
    assert code == 1 and "holds secret.txt, which is no part of an export" in errors and not hub.repos
