"""A small Hugging Face hub of this machine: repositories of files, gates, cuts, and what was asked of it."""

import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by name, each a dict of files; `gated` asks for a token, `cut_once` names files whose first
    answer ends in the middle, `asked` keeps (method, path, headers)."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: dict[str, str] = field(default_factory=dict)
    cut_once: set[str] = field(default_factory=set)
    status: int | None = None
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def fetched(self) -> list[str]:
        """List the paths that were asked for with GET."""
        return [path for method, path, _ in self.asked if method == "GET"]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        hub.asked.append((self.command, self.path, dict(self.headers.items())))
        path = self.path.partition("?")[0].strip("/")
        if hub.status is not None:
            return self._refuse(hub.status)
        if path.startswith("api/models/"):
            return self._list(hub, "/".join(path.split("/")[2:4]))
        repository, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        if repository not in hub.repositories:
            return self._refuse(404, "RepoNotFound")
        token = hub.gated.get(repository)
        if token is not None and self.headers.get("Authorization") != f"Bearer {token}":
            return self._refuse(403 if "Authorization" in self.headers else 401, "GatedRepo")
        if revision not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        if name not in hub.repositories[repository]:
            return self._refuse(404, "EntryNotFound")
        return self._send(hub, name, hub.repositories[repository][name], body=body)

    def _send(self, hub: Hub, name: str, data: bytes, *, body: bool) -> None:
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        sent = data[start:]
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(sent)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return
        if name in hub.cut_once:
            hub.cut_once.remove(name)
            self.wfile.write(sent[: len(sent) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(sent)

    def _list(self, hub: Hub, repository: str) -> None:
        files = hub.repositories.get(repository)
        if files is None:
            return self._refuse(404, "RepoNotFound")
        listed = [{"rfilename": name} for name in files]
        answer = {"id": repository, "sha": COMMIT, "siblings": listed}
        if "/tree/" in self.path:
            answer = [{"type": "file", "path": name, "size": 1, "oid": "0"} for name in files]  # type: ignore[assignment]
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a hub until the block ends."""
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = Hub(address=f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
