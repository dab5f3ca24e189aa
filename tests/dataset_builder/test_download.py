"""Downloads against a server that does what servers do: drops, refuses, changes its mind."""

import gzip
import http.server
import os
import socket
import threading

import pytest

from dataset_builder import DataError, download

CONTENT = gzip.compress(os.urandom(300_000), mtime=0)
NEWER = gzip.compress(os.urandom(300_000), mtime=0)


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` and notes each request's Range; the attributes say what goes wrong."""

    content, etag, ranges, status, length_known = CONTENT, '"1"', True, None, True
    drop_after: int | None = None  # bytes of the next answer only
    change_after_drop = False
    wrong_range = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/kanji.xml.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if server.status:
            self.send_error(server.status)
            return
        body, start = server.content, 0
        same = self.headers["If-Range"] in (None, server.etag)
        if wanted and server.ranges and same:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            shown = 0 if server.wrong_range else start
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.length_known:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        drop, server.drop_after = server.drop_after, None
        self.wfile.write(body[start:][:drop])
        if drop is not None and server.change_after_drop:
            server.content, server.etag = NEWER, '"2"'
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(download, "PAUSES", (0, 0))
    return tmp_path / "kanji-diffusion"


def files(cache) -> list[str]:
    return sorted(file.name.split("-", 1)[1] for file in cache.iterdir())


def test_a_file_is_downloaded_once_and_nothing_lies_beside_it(server, cache):
    assert download.fetch(server.url).read_bytes() == CONTENT
    assert download.fetch(server.url).read_bytes() == CONTENT
    assert server.asked == [None]
    assert files(cache) == ["kanji.xml.gz"]


def test_refresh_downloads_it_again(server):
    download.fetch(server.url)
    server.content = NEWER
    assert download.fetch(server.url).read_bytes() == CONTENT
    assert download.fetch(server.url, refresh=True).read_bytes() == NEWER


def test_a_failed_refresh_leaves_the_file_that_was_there(server):
    path = download.fetch(server.url)
    server.status = 404
    with pytest.raises(DataError):
        download.fetch(server.url, refresh=True)
    assert path.read_bytes() == CONTENT


def test_two_servers_with_files_of_one_name_do_not_mix(server):
    with Server() as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        other.content = NEWER
        assert download.fetch(server.url).read_bytes() == CONTENT
        assert download.fetch(other.url).read_bytes() == NEWER
        other.shutdown()


def test_a_dropped_connection_is_gone_on_with_where_it_broke(server):
    server.drop_after = 100_000
    assert download.fetch(server.url).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_part_from_an_earlier_run_is_gone_on_with(server, cache, monkeypatch):
    monkeypatch.setattr(download, "PAUSES", ())
    server.drop_after = 100_000
    with pytest.raises(DataError, match="broke after 100000 of"):
        download.fetch(server.url)
    assert not download.cached(server.url).exists()
    assert download.fetch(server.url).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]
    assert files(cache) == ["kanji.xml.gz"]


def test_a_server_without_ranges_sends_it_from_the_start(server):
    server.drop_after, server.ranges = 100_000, False
    assert download.fetch(server.url).read_bytes() == CONTENT


def test_a_file_that_changed_in_between_is_not_patched_together(server):
    server.drop_after, server.change_after_drop = 100_000, True
    assert download.fetch(server.url).read_bytes() == NEWER


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_without_a_strong_validator_nothing_is_resumed(server, etag):
    server.drop_after, server.etag = 100_000, etag
    assert download.fetch(server.url).read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_an_answer_of_another_range_starts_over(server):
    server.drop_after, server.wrong_range = 100_000, True
    assert download.fetch(server.url).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_over(server, monkeypatch):
    server.drop_after, server.content = 200_000, CONTENT
    monkeypatch.setattr(download, "PAUSES", ())
    with pytest.raises(DataError):
        download.fetch(server.url)
    server.content = gzip.compress(b"short")
    monkeypatch.setattr(download, "PAUSES", (0, 0))
    assert download.fetch(server.url).read_bytes() == server.content


@pytest.mark.parametrize("known", [True, False])
def test_half_a_file_never_gets_the_whole_ones_name(server, known, monkeypatch):
    monkeypatch.setattr(download, "PAUSES", ())
    server.drop_after, server.length_known = 100_000, known
    with pytest.raises(DataError):
        download.fetch(server.url)
    assert not download.cached(server.url).exists()


def test_an_error_page_with_status_200_is_not_kept(server, cache):
    server.content = b"<html>please log in to the hotel's network</html>"
    with pytest.raises(DataError, match="not a whole archive"):
        download.fetch(server.url)
    assert files(cache) == []


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)])
def test_only_what_may_pass_is_tried_again(server, status, tries):
    server.status = status
    with pytest.raises(DataError, match=f"HTTP {status}"):
        download.fetch(server.url)
    assert len(server.asked) == tries


def test_no_network_is_one_line_that_names_the_option(build, cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/kanjidic2.xml.gz"
    code, said = build("kanji", "--kanjidic2", url)
    last = said.strip().splitlines()[-1]
    assert code == 1 and "Connection refused" in last and "--kanjidic2 PATH_OR_URL" in last


def test_two_processes_that_want_the_same_file_both_get_it_whole(server):
    got = []
    threads = [threading.Thread(target=lambda: got.append(download.fetch(server.url).read_bytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [CONTENT] * 4


def test_the_sum_of_a_folder_depends_on_names_and_contents_only(tmp_path):
    for folder, order in (("a", (1, 2)), ("b", (2, 1))):
        for n in order:
            (tmp_path / folder / "kanji").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "kanji" / f"{n}.svg").write_text(str(n))
    assert download.sha256(tmp_path / "a") == download.sha256(tmp_path / "b")
    before = download.sha256(tmp_path / "a")
    (tmp_path / "a" / "kanji" / "1.svg").rename(tmp_path / "a" / "kanji" / "3.svg")
    assert download.sha256(tmp_path / "a") != before
