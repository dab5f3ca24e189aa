"""A small Hub on the loopback, of what huggingface_hub asks when a dataset is published and opened again."""

import hashlib
import json
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_thisIsTheSecretOfTheTests"
USER = {"name": "user", "type": "user", "orgs": [{"name": "club"}]}


class Hub(ThreadingHTTPServer):
    """`repos` is id -> {"private", "files" (path -> bytes), "commits" (each the paths that it touched)}.

    `faults` is (method, end of the path) -> a status to answer with, or "drop" to hang up half-way through the body.
    `asked` is what was asked for, in order; with `always_public` a new dataset is public whatever was asked.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos, self.lfs, self.asked, self.faults = {}, {}, [], {}
        self.role, self.always_public = "write", False
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    """One request; the paths are those of the real Hub."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Nothing on stderr."""

    def answer(self, content=b"", status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def respond(self):
        hub, address = self.server, urlsplit(self.path)
        path, length = unquote(address.path), int(self.headers.get("Content-Length", 0))
        hub.asked.append(f"{self.command} {path}")
        fault = next((f for (method, end), f in hub.faults.items() if self.command == method and end in path), None)
        if fault == "drop":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if fault:
            self.answer({"error": "the fake Hub was told to"}, fault)
        elif path.startswith("/lfs/"):  # a storage server of its own, as the real one: the address is the permission
            hub.lfs[path.removeprefix("/lfs/")] = body
            self.answer()
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer({"error": "Invalid credentials"}, 401, X_Error_Message="Invalid credentials")
        elif path == "/api/whoami-v2":
            self.answer({**USER, "auth": {"accessToken": {"role": hub.role}}})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        else:
            *_, user, name = path.split("/datasets/")[-1].split(".git/")[0].split("/")[:2]
            repo = hub.repos.get(f"{user}/{name}")
            if repo is None:
                self.answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            else:
                self.dataset(f"{user}/{name}", repo, path.split(name, 1)[1], parse_qs(address.query), body)

    do_GET = do_HEAD = do_POST = do_PUT = respond

    def create(self, asked: dict) -> None:
        name = f"{asked.get('organization') or USER['name']}/{asked['name']}"
        there = name in self.server.repos
        if not there:
            files = {".gitattributes": b"*.parquet filter=lfs\n"}
            private = asked.get("visibility") == "private" and not self.server.always_public
            self.server.repos[name] = {"private": private, "files": files, "commits": []}
        self.answer({"url": f"{self.server.url}/datasets/{name}"}, 409 if there else 200)

    def dataset(self, name: str, repo: dict, rest: str, query: dict, body: bytes) -> None:
        files, sha = repo["files"], f"{len(repo['commits']):040x}"
        if rest.startswith("/preupload/"):
            self.answer(
                {"files": [{**mode(file["path"], files), "shouldIgnore": False} for file in lines(body)[0]["files"]]}
            )
        elif rest.endswith("/info/lfs/objects/batch"):
            objects = [
                {**entry, "actions": {"upload": {"href": f"{self.server.url}/lfs/{entry['oid']}"}}}
                for entry in lines(body)[0]["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")
        elif rest.startswith("/commit/"):
            for line in lines(body)[1:]:
                value, path = line["value"], line["value"]["path"]
                if line["key"] == "deletedFile":
                    del files[path]
                else:
                    files[path] = (
                        self.server.lfs[value["oid"]] if line["key"] == "lfsFile" else b64decode(value["content"])
                    )
            repo["commits"].append(sorted(line["value"]["path"] for line in lines(body)[1:]))
            self.answer({"commitUrl": f"{self.server.url}/datasets/{name}/commit/{sha}", "commitOid": sha})
        elif rest == "/settings":
            repo["private"] = lines(body)[0]["visibility"] == "private"
            self.answer({})
        elif rest.startswith("/tree/"):
            below = "".join(f"{part}/" for part in rest.split("/")[3:])
            found = [path for path in files if path.startswith(below)]
            if "recursive" not in query or query["recursive"] == ["false"]:
                found = dict.fromkeys(below + path.removeprefix(below).split("/")[0] for path in found)
            self.answer([listed(path, files) for path in found])
        elif rest.startswith("/paths-info/"):
            paths = parse_qs(body.decode())["paths"]
            self.answer([listed(path, files) for path in paths if listed(path, files)])
        elif rest.startswith("/resolve/"):
            path = rest.split("/", 3)[3]
            if path in files:
                self.answer(files[path], X_Repo_Commit=sha, ETag=f'"{hashlib.sha1(files[path]).hexdigest()}"')
            else:
                self.answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        else:
            siblings = [{"rfilename": path} for path in files]
            self.answer({"id": name, "private": repo["private"], "sha": sha, "siblings": siblings, "tags": []})


def lines(body: bytes) -> list[dict]:
    """The JSON of each line."""
    return [json.loads(line) for line in body.splitlines()]


def mode(path: str, files: dict[str, bytes]) -> dict:
    """How a file is to be uploaded, and what is there already."""
    large = path.endswith((".parquet", ".png"))
    there = files.get(path)
    blob = None if there is None else there if large else b"blob %d\0" % len(there) + there
    oid = None if blob is None else hashlib.new("sha256" if large else "sha1", blob).hexdigest()
    return {"path": path, "uploadMode": "lfs" if large else "regular", "oid": oid}


def listed(path: str, files: dict[str, bytes]) -> dict | None:
    """A file or folder as a listing has it; None where there is neither."""
    if path in files:
        return {"type": "file", "path": path, "size": len(files[path]), "oid": hashlib.sha1(files[path]).hexdigest()}
    if any(file.startswith(f"{path}/") for file in files):
        return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}
    return None
