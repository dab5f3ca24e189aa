"""diffusers' own scripts are fetched once, and never used unless they are those of the pinned version."""

import hashlib
import http.server
import threading

import pytest

from launch import script
from launch.script import script_path

SOURCE = b"print('a training script')\n"
PATH = "text_to_image/train_text_to_image.py"


@pytest.fixture
def official(tmp_path, monkeypatch):
    """The table of official scripts, with the sum of a file that a test can serve."""
    monkeypatch.setitem(script.OFFICIAL, "train_text_to_image", (PATH, hashlib.sha256(SOURCE).hexdigest()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DIFFUSERS_EXAMPLES", raising=False)
    return tmp_path / "cache" / "kanji-diffusion" / "diffusers-0.40.0" / PATH


@pytest.fixture
def server():
    """A loopback web server: `server.answer` is sent for every path, and `server.asked` lists those asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, body, length = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], (200, SOURCE, len(SOURCE))
    server.url = f"http://127.0.0.1:{server.server_port}/examples"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_our_own_script_is_taken_from_trainers(tmp_path):
    (tmp_path / "train_text_to_image.py").write_text("")
    assert script_path("train_text_to_image", tmp_path) == tmp_path / "train_text_to_image.py"


def test_an_unknown_script_is_an_error_that_lists_the_known_ones(tmp_path):
    (tmp_path / "train_mine.py").write_text("")
    with pytest.raises(ValueError, match=r"no script train_your.*train_mine.*train_text_to_image_lora"):
        script_path("train_your", tmp_path)


def test_an_official_script_is_fetched_once_and_kept(official, server, tmp_path):
    assert script_path("train_text_to_image", tmp_path, server.url) == official
    assert official.read_bytes() == SOURCE
    assert script_path("train_text_to_image", tmp_path, server.url) == official
    assert server.asked == [f"/examples/{PATH}"]
    assert [path.name for path in official.parent.iterdir()] == [official.name]


def test_a_kept_script_that_was_changed_is_fetched_again(official, server, tmp_path):
    official.parent.mkdir(parents=True)
    official.write_bytes(SOURCE[:10])
    assert script_path("train_text_to_image", tmp_path, server.url).read_bytes() == SOURCE


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((200, b"<html>log in first</html>", 25), ValueError, "wrong sha256"),
        ((200, SOURCE[:10], 10), ValueError, "wrong sha256"),
        ((200, SOURCE[:10], len(SOURCE)), OSError, "set DIFFUSERS_EXAMPLES="),  # the connection broke
        ((404, b"", 0), OSError, "set DIFFUSERS_EXAMPLES="),
    ],
)
def test_what_is_not_the_file_is_never_kept(official, server, tmp_path, answer, error, message):
    server.answer = answer
    with pytest.raises(error, match=message):
        script_path("train_text_to_image", tmp_path, server.url)
    assert not official.exists()


def test_without_a_way_to_the_repository_one_line_says_what_to_set(official, tmp_path):
    with pytest.raises(OSError, match="set DIFFUSERS_EXAMPLES=") as error:
        script_path("train_text_to_image", tmp_path, "http://127.0.0.1:9")
    assert "\n" not in str(error.value)


def test_a_copy_named_by_the_user_is_used_and_nothing_is_fetched(official, server, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSERS_EXAMPLES", str(tmp_path / "examples"))
    (tmp_path / "examples" / PATH).parent.mkdir(parents=True)
    (tmp_path / "examples" / PATH).write_bytes(SOURCE)
    assert script_path("train_text_to_image", tmp_path, server.url) == tmp_path / "examples" / PATH
    assert not server.asked


@pytest.mark.parametrize(("content", "message"), [(None, "must name the folder"), (b"changed", "is not that of")])
def test_a_copy_of_another_version_is_refused(official, tmp_path, monkeypatch, content, message):
    monkeypatch.setenv("DIFFUSERS_EXAMPLES", str(tmp_path))
    if content:
        (tmp_path / PATH).parent.mkdir()
        (tmp_path / PATH).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        script_path("train_text_to_image", tmp_path)
