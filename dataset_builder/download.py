"""Files from the net: fetched once, resumed where a connection broke, never half a file under a whole one's name."""

import contextlib
import fcntl
import gzip
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

from dataset_builder import DataError

TIMEOUT = 30  # seconds without a byte
PAUSES = (1, 3)  # seconds before the second and the third try
NET_TROUBLE = (urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)


def is_url(source: str) -> bool:
    """Whether a PATH_OR_URL is a URL."""
    return source.startswith(("http://", "https://"))


def cached(url: str) -> Path:
    """A URL's place in ${XDG_CACHE_HOME:-~/.cache}/kanji-diffusion; mirrors have a place each."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kanji-diffusion"
    name = url.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}"


def fetch(url: str, refresh: bool = False) -> Path:
    """The local copy of `url`: the cached one unless `refresh`, else downloaded, whole or not at all.

    A part that an earlier try left is gone on with, if the server still has the same file. Raises DataError where the
    server refuses, cannot be reached in three tries, or sends a broken archive; OSError where the disk is full.
    """
    target = cached(url)
    if target.is_file() and not refresh:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with open(part, "ab") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)  # another build that wants the same file waits here
        if target.is_file() and not refresh:
            return target
        for pause in (*PAUSES, None):
            try:
                receive(url, part)
                break
            except NET_TROUBLE as error:
                code = getattr(error, "code", None)
                hopeless = code is not None and code < 500 and code not in (408, 416, 429)
                if hopeless or pause is None:
                    problem = f"HTTP {code} {error.reason}" if code else getattr(error, "reason", None) or error
                    raise DataError(f"cannot download {url}: {problem}") from None
                time.sleep(pause)
        try:
            check_archive(part, url)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            part.unlink()
            raise DataError(f"cannot download {url}: what came is not a whole archive ({error})") from None
        os.replace(part, target)
    return target


def receive(url: str, part: Path) -> None:
    """Download `url` into `part`, from where `part` ends if the server has the same file still and sends ranges.

    What tells whether it is the same file (ETag, else Last-Modified) is kept beside it. Raises one of NET_TROUBLE.
    """
    from tqdm import tqdm

    note = part.with_name(part.name + ".version")
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "kanji-diffusion", "Accept-Encoding": "identity"}
    if have and note.is_file() and note.read_text():
        headers |= {"Range": f"bytes={have}-", "If-Range": note.read_text()}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part is as long as the file or longer: it is no part of it
            os.truncate(part, 0)
        raise
    with response:
        if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            os.truncate(part, 0)
            raise ConnectionError("the server sent another range than asked for")
        if response.status != 206:
            have = 0
            os.truncate(part, 0)
            etag = response.headers.get("ETag", "")
            # A weak ETag may stand for different bytes.
            note.write_text(etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", ""))
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        name = url.rsplit("/", 1)[-1]
        with open(part, "ab") as file, tqdm(desc=name, initial=have, total=total, unit="B", unit_scale=True) as bar:
            while block := response.read(1 << 16):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"the connection broke after {part.stat().st_size} of {total} bytes")
    note.unlink()


def check_archive(path: Path, url: str) -> None:
    """Read a .gz or .zip to its end: a server's error page or half a file must not stay in the cache."""
    if url.endswith(".gz"):
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    elif url.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(f"{broken} is damaged")


def sha256(path: Path) -> str:
    """Sum of a file's bytes, or of a folder's SVGs with their names, in hexadecimal."""
    if path.is_file():
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.svg")):
        digest.update(f"{file.relative_to(path)} {sha256(file)}\n".encode())
    return digest.hexdigest()
