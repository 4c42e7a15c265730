"""A hub of one's own on the loopback: what the hub's client asks for, answered from folders."""

import json
import shutil
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.suites.hub_format import commit, etag, is_large


class FakeHub:
    """Repositories with a folder a revision, served until ``close``.

    Attributes:
        repos: folder of each revision of each repository ``Org/name``; may be changed while it serves.
        requests: what was asked: method and path.
        busy: how many more requests are answered with "too many".
        failing: paths that contain this are answered with "server error".
        silent: set, and nothing is answered until it is cleared.
    """

    def __init__(self, repos: Mapping[str, Mapping[str, Path]]) -> None:
        self.repos = {repo: dict(revisions) for repo, revisions in repos.items()}
        self.requests: list[tuple[str, str]] = []
        self.busy = 0
        self.failing = ""
        self.silent = threading.Event()
        self.speak = threading.Event()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """Serve no more: who asks from now on is refused the connection."""
        self.speak.set()
        self._server.shutdown()
        self._server.server_close()

    def fetched(self, suffix: str = ".safetensors") -> list[str]:
        """``Org/name@revision`` of files with this suffix whose content was sent, in order; commits shown as names."""
        found = []
        for method, path in self.requests:
            if method == "GET" and "/resolve/" in path and path.endswith(suffix):
                repo, revision = path.strip("/").split("/resolve/")[0], path.split("/resolve/")[1].split("/")[0]
                named = [name for name, folder in self.repos[repo].items() if revision in (name, commit(repo, folder))]
                found.append(f"{repo}@{named[0]}")
        return found


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.hub.requests.append((self.command, unquote(url.path)))
        if self.hub.silent.is_set():
            self.hub.speak.wait()
            self.close_connection = True
            return
        if self.hub.busy:
            self.hub.busy -= 1
            return self._send(429, b"", {"Retry-After": "0"})
        if self.hub.failing and self.hub.failing in url.path:
            return self._send(500, b"")
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            return self._api("/".join(parts[2:4]), parts[4:], parse_qs(url.query))
        if len(parts) > 4 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._send(404, b"")

    def _api(self, repo: str, asked: list[str], query: Mapping[str, list[str]]) -> None:
        revisions = self.hub.repos.get(repo)
        if revisions is None:
            return self._missing("RepoNotFound")
        if asked == ["refs"]:
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit(repo, folder)}
                for name, folder in revisions.items()
            ]
            return self._json({"branches": branches, "tags": [], "converts": []})
        kind, revision = asked if asked else ("revision", "main")
        folder = self._folder(repo, revision)
        if folder is None:
            return self._missing("RevisionNotFound")
        files = [self._described(file) for file in sorted(folder.iterdir())]
        if kind == "tree":
            return self._json([{"type": "file", "path": file.pop("rfilename"), **file} for file in files])
        if query.get("blobs", ["false"])[0].lower() != "true":
            files = [{"rfilename": file["rfilename"]} for file in files]
        return self._json({"id": repo, "modelId": repo, "sha": commit(repo, folder), "siblings": files})

    def _described(self, file: Path) -> dict:
        size = file.stat().st_size
        known = {"rfilename": file.name, "size": size, "oid": etag(file), "blobId": etag(file)}
        if is_large(file):
            known["lfs"] = {"sha256": etag(file), "oid": etag(file), "size": size, "pointerSize": 130}
        return known

    def _file(self, repo: str, revision: str, name: str) -> None:
        folder = self._folder(repo, revision)
        if folder is None:
            return self._missing("RevisionNotFound")
        if not (folder / name).is_file():
            return self._missing("EntryNotFound")
        file = folder / name
        headers = {"ETag": f'"{etag(file)}"', "X-Repo-Commit": commit(repo, folder)}
        if is_large(file):
            headers |= {"X-Linked-Etag": f'"{etag(file)}"', "X-Linked-Size": str(file.stat().st_size)}
        self.send_response(200)
        for header, value in {**headers, "Content-Length": str(file.stat().st_size)}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            with file.open("rb") as content:
                shutil.copyfileobj(content, self.wfile)

    def _folder(self, repo: str, revision: str) -> Path | None:
        revisions = self.hub.repos.get(repo, {})
        commits = {commit(repo, folder): folder for folder in revisions.values()}
        return revisions.get(revision) or commits.get(revision)

    def _missing(self, code: str) -> None:
        self._send(404, b"", {"X-Error-Code": code})

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
