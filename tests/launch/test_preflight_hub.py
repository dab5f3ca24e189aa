"""What is at the other end of a Hub id is asked briefly, and put into one line that says what to do."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from launch import hub

CARD = """---
license: cc-by-sa-4.0
dataset_info:
  features:
  - name: image
    dtype: image
  - name: text
    dtype: string
  splits:
  - name: train
    num_bytes: 1
    num_examples: 6102
  - name: test
    num_examples: 312
---

# A card

---
"""


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does, by the name of the repository."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("authorization")))
        if "/hangs/" in self.path:
            self.server.closing.wait(20)
            return
        status, code, body = 404, "RepoNotFound", ""
        if "/private/" in self.path:
            status, code = 401, None
        elif "/gated/" in self.path:
            status, code = 403, "GatedRepo"
        elif "/refused/" in self.path:
            status, code = 403, None
        elif "/busy/" in self.path:
            status, code = 503, None
        elif "/good/" in self.path and "/resolve/main/" in self.path:
            wanted = {"model_index.json": "{}", "README.md": CARD}.get(self.path.rpartition("/")[2])
            status, code, body = (
                (200, None, wanted) if wanted and "/empty/" not in self.path else (404, "EntryNotFound", "")
            )
        elif "/good/" in self.path:
            status, code = 404, "RevisionNotFound"
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.closing, server.daemon_threads = [], threading.Event(), True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def preflight(tmp_path, root):
    """Runs it for a recipe with these settings, in an empty folder where nobody is logged in and no script is at hand;
    returns exit status, stdout and stderr."""

    def run(mode, endpoint, environment=None, **settings):
        (tmp_path / "config.yaml").write_text("distributed_type: 'NO'\nmixed_precision: 'no'\n")
        flags = {"output_dir": "runs/mine", "max_train_steps": 4} | settings
        if "dataset_name" not in settings:
            flags["train_data_dir"] = "data/mine/train"  # not built yet
        command = [
            sys.executable,
            "-m",
            "launch.preflight",
            mode,
            "config.yaml",
            "recipe.yaml",
            "train_text_to_image.py",
        ]
        command += [f"--{key}={value}" for key, value in flags.items()]
        if isinstance(endpoint, ThreadingHTTPServer):
            endpoint = f"http://127.0.0.1:{endpoint.server_port}"
        variables = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        variables |= {"PYTHONPATH": str(root), "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home")}
        variables |= {"HF_HUB_DISABLE_TELEMETRY": "1"}  # as the launcher does
        answer = subprocess.run(
            command, env=variables | (environment or {}), cwd=tmp_path, capture_output=True, text=True
        )
        assert "Traceback" not in answer.stderr
        return answer.returncode, answer.stdout, answer.stderr

    return run


MODEL, DATA = "pretrained_model_name_or_path", "dataset_name"


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (MODEL, "gone/model", ["no such model", "look at http://127.0.0.1", "/gone/model"]),
        (DATA, "gone/data", ["no such dataset", "look at http://127.0.0.1", "/datasets/gone/data"]),
        (MODEL, "private/model", ["(401)", "`hf auth login`"]),
        (DATA, "refused/data", ["(403)"]),
        (MODEL, "gated/model", ["gated: accept its terms at http://127.0.0.1", "/gated/model, then `hf auth login`"]),
        (DATA, "gated/data", ["gated: accept its terms at http://127.0.0.1", "/datasets/gated/data, then"]),
        (MODEL, "runs/nothing", ["is no folder"]),
        (DATA, "/nowhere/at/all", ["no such folder"]),
        (MODEL, "good/empty", ["no pipeline of diffusers"]),
        (MODEL, "runwayml/stable-diffusion-v1-5", ["gone", "stable-diffusion-v1-5/stable-diffusion-v1-5 is a copy"]),
    ],
)
def test_what_cannot_be_had_is_an_error_that_says_what_to_do(preflight, server, kind, name, words):
    status, output, errors = preflight("check", server, **{kind: name})
    assert f"images and captions of {name}" not in output
    line = next(line for line in errors.splitlines() if name in line)
    assert status == 2
    assert line.startswith("Error     ")
    for word in words:
        assert word in line
    assert not [path for path, _ in server.asked if "runwayml" in path]  # known to be gone


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pretrained_model_name_or_path": "good/model", "revision": "v2"}, "has no revision v2"),
        ({"dataset_name": "good/data", "caption_column": "captions"}, "no such column, only image, text"),
        ({"dataset_name": "good/data", "max_train_samples": 9999}, "more than the 6,102 rows"),
    ],
)
def test_what_the_hub_tells_is_compared_with_the_recipe(preflight, server, settings, words):
    status, _, errors = preflight("check", server, **settings)
    assert status == 2
    assert words in errors


def test_a_good_model_and_data_set_are_no_complaint_and_the_rows_are_counted(preflight, server):
    settings = {"pretrained_model_name_or_path": "good/model", "dataset_name": "good/data"}
    status, output, errors = preflight("launch", server, {"HF_TOKEN": "hf_secret"}, **settings)
    assert (status, errors) == (0, "")
    assert "Data      6,102 rows in good/data" in output
    assert "Not seen  the images and captions of good/data" in output
    assert "Warning" not in output
    assert sorted(server.asked) == [
        ("/datasets/good/data/resolve/main/README.md", "Bearer hf_secret"),
        ("/good/model/resolve/main/model_index.json", "Bearer hf_secret"),
    ]
    assert "hf_secret" not in output


@pytest.mark.parametrize("name", ["hangs/model", "busy/model"])
def test_a_hub_that_does_not_answer_is_not_seen_in_a_check_and_an_error_at_a_launch(preflight, server, name):
    status, output, errors = preflight("check", server, pretrained_model_name_or_path=name)
    assert (status, errors) == (0, "")
    assert f"{name} " in next(line for line in output.splitlines() if line.startswith("Not seen  http"))
    if name == "busy/model":  # a launch waits for ten seconds for the other one
        status, _, errors = preflight("launch", server, pretrained_model_name_or_path=name)
        assert status == 2
        assert "status 503: set HF_ENDPOINT to a mirror" in errors


@pytest.mark.parametrize(
    ("endpoint", "environment", "words"),
    [
        ("http://127.0.0.1:9", {}, "cannot be reached"),
        ("nonsense", {}, "cannot be reached"),
        ("http://127.0.0.1:9", {"HF_HUB_OFFLINE": "1"}, "is not in the cache, and HF_HUB_OFFLINE is set"),
    ],
)
def test_without_a_way_to_the_hub_the_line_says_why(preflight, endpoint, environment, words):
    status, output, _ = preflight("check", endpoint, environment, pretrained_model_name_or_path="a/model")
    assert status == 0
    assert words in output
    status, _, errors = preflight("launch", endpoint, environment, pretrained_model_name_or_path="a/model")
    assert status == 2
    assert words in errors and "name a folder" in errors


def test_what_is_in_the_cache_is_not_asked_for(preflight, server, tmp_path):
    folder = tmp_path / "home" / "hub" / "models--gone--model"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model_index.json").write_text("{}")
    status, _, errors = preflight("check", server, pretrained_model_name_or_path="gone/model")
    assert (status, errors) == (0, "")
    assert server.asked == []


def test_a_local_data_set_of_parquet_files_is_counted_by_its_card(preflight, tmp_path):
    (tmp_path / "kanji-parquet").mkdir()
    (tmp_path / "kanji-parquet" / "README.md").write_text(CARD)
    status, output, _ = preflight("check", "nonsense", dataset_name="kanji-parquet")
    assert status == 0
    assert "Data      6,102 rows in kanji-parquet" in output
    (tmp_path / "kanji-parquet" / "README.md").unlink()
    _, output, _ = preflight("check", "nonsense", dataset_name="kanji-parquet")
    assert "Not seen  the data: the card of kanji-parquet does not say how many rows it has" in output
    assert "nonsense" not in output  # the Hub has nothing to say of a folder


def test_a_training_folder_beside_a_dataset_of_the_hub_is_an_error_and_not_looked_at(preflight, server, tmp_path):
    (tmp_path / "mine").mkdir()
    status, output, errors = preflight("check", server, dataset_name="good/data", train_data_dir="mine")
    assert status == 2
    assert "Data      6,102 rows in good/data" in output
    assert errors == (
        "Error     --train_data_dir=mine would be looked for inside of the dataset good/data: in a recipe, write "
        "`dataset_name` in place of `train_data_dir`\n"
    )


@pytest.mark.parametrize(
    ("card", "config", "rows"),
    [
        (CARD, None, 6102),
        (CARD, "other", None),
        ("---\ndataset_info:\n- config_name: a\n  splits: [{name: train, num_examples: 3}]\n---\n", None, 3),
        (
            "---\ndataset_info:\n- config_name: a\n  splits: [{name: train, num_examples: 3}]\n"
            "- config_name: b\n  splits: [{name: train, num_examples: 4}]\n---\n",
            "b",
            4,
        ),
        ("---\ndataset_info:\n  splits: [{name: test, num_examples: 3}]\n---\n", None, 0),
        ("---\ndataset_info: [1, 2]\n---\n", None, None),
        ("---\ndataset_info:\n  splits: 3\n---\n", None, None),
        ("---\n[unclosed\n---\n", None, None),
        ("---\njust a text\n---\n", None, None),
        ("# no front matter\n---\ndataset_info:\n  splits: [{name: train, num_examples: 3}]\n---\n", None, None),
        ("", None, None),
    ],
)
def test_the_rows_of_a_card_are_those_of_its_train_split(card, config, rows):
    assert hub.rows_and_columns(card, config)[0] == rows


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("CompVis/stable-diffusion-v1-4", False),
        ("gpt2", False),
        ("runs/x", True),
        ("data/x", True),
        ("here/x", True),
        ("here", True),
        ("/a/b", True),
        ("./a", True),
        ("../a", True),
        ("~/a", True),
        ("a/b/c", True),
        ("a--b/c", True),
        ("a..b", True),
        ("模型/x", True),
        ("", True),
    ],
)
def test_a_folder_is_told_from_a_hub_id(tmp_path, monkeypatch, name, path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert hub.is_path(name) is path


def test_what_hangs_without_heeding_a_timeout_is_given_up():
    forever = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within"):
        hub.within(0.05, forever.wait)
    forever.set()
    with pytest.raises(KeyError):
        hub.within(5, lambda: {}["a"])
    assert hub.within(5, lambda: 3) == 3
