"""A Hugging Face Hub on the loopback: folders as repositories, and the refusals of the real one."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

# As the Hub answers a request without a token: (status, X-Error-Code, X-Error-Message)
GATED = (401, "GatedRepo", "Access to model USER/NAME is restricted. You must have access to it and be authenticated.")
NOT_ACCEPTED = (403, "GatedRepo", "Access to model USER/NAME is restricted and you are not in the authorized list.")
UNKNOWN = (401, "RepoNotFound", "Invalid username or password.")
DISABLED = (403, None, "Access to this resource is disabled.")
BAD_TOKEN = (401, None, "Invalid credentials in Authorization header")
BROKEN = (503, None, "Service Unavailable")
NO_FILE = (404, "EntryNotFound", "Entry not found")
NO_REVISION = (404, "RevisionNotFound", "Invalid rev id")


@contextmanager
def serve(repositories):
    """Serve `repositories`, {USER/NAME: a folder, or a refusal of those above}; gives the address and what was asked.

    A folder has the branch main and one commit. What was asked is a list of "METHOD /path", in order.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append(f"{self.command} {self.path}")
            kind, repository, what = address(self.path)
            found = repositories.get(repository, UNKNOWN)
            if found in (GATED, NOT_ACCEPTED) and kind == "info":  # what files there are, everybody may know
                siblings = [{"rfilename": "model_index.json"}]
                return self.answer(200, body=json.dumps({"id": repository, "sha": "0" * 40, "siblings": siblings}))
            if not isinstance(found, Path):
                return self.answer(*found)
            files = {file.relative_to(found).as_posix(): file for file in sorted(found.rglob("*")) if file.is_file()}
            commit = hashlib.sha1(repository.encode()).hexdigest()
            revision, _, rest = what.partition("/")
            if revision not in ("", "main", commit):
                return self.answer(*NO_REVISION)
            if kind == "info":
                siblings = [{"rfilename": name} for name in files]
                return self.answer(200, body=json.dumps({"id": repository, "sha": commit, "siblings": siblings}))
            if kind == "tree":
                if not (found / rest).is_dir():
                    return self.answer(*NO_FILE)
                deep = "recursive=true" in self.path.lower()
                below = sorted((found / rest).rglob("*") if deep else (found / rest).iterdir())
                tree = [listed(path, found) for path in below]
                return self.answer(200, body=json.dumps(tree))
            if rest not in files:
                return self.answer(*NO_FILE, commit=commit)
            return self.answer(200, body=files[rest].read_bytes(), commit=commit, etag=f'"{etag(files[rest])}"')

        do_HEAD = do_GET

        def answer(self, status, code=None, message=None, body=b"", commit=None, etag=None):
            body = body.encode() if isinstance(body, str) else body
            self.send_response(status)
            headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit, "ETag": etag}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def address(url):
    """("info", "tree" or "file"; USER/NAME; REVISION or REVISION/file) of a request."""
    words = unquote(urlsplit(url).path).strip("/").split("/")
    if words[0] == "api":  # api/models/USER/NAME/tree/main
        kind = words[4] if words[4:5] in (["tree"], ["paths-info"]) else "info"
        return kind, "/".join(words[2:4]), "/".join(words[5:])
    words = words[words[0] == "datasets" :]  # (datasets/)USER/NAME/resolve/main/FILE
    return "file", "/".join(words[:2]), "/".join(words[3:])


def listed(path, folder):
    """A file or folder as a listing has it."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": hashlib.sha1(name.encode()).hexdigest()}
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": etag(path)}


def etag(file):
    return hashlib.sha1(file.read_bytes()).hexdigest()
