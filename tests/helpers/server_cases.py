"""The app as it is started for use, in a process of its own, and requests as a hostile page makes them."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from helpers.chromium import ROOT, free_port, wait_for


@dataclass
class App:
    """A server: its process, its port, and the files of what it says and of what it loaded and where it
    connected to (see watched_server.py)."""

    process: subprocess.Popen
    port: int
    log: Path
    notes: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_bytes(self) -> int:
        """Count the bytes it holds in memory now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def noted(self, kind: str) -> list[str]:
        """List what comes after "load" or "connect" in its notes."""
        lines = self.notes.read_text().splitlines()
        return [line.removeprefix(f"{kind} ") for line in lines if line.startswith(f"{kind} ")]

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def request(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one request, its path as it is; `Host` is the server's own unless it is given."""
        named = {"Host": f"127.0.0.1:{self.port}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True)
            for name, value in named.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def websocket_opens(self, *, host: str | None = None, origin: str | None = None) -> bool:
        """Whether a page of `origin`, at an address that begins with `host`, gets a session."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        host = host or f"127.0.0.1:{self.port}"
        try:
            with connect(
                f"ws://{host}/_stcore/stream",
                sock=sock,
                origin=origin,
                subprotocols=["streamlit"],
                open_timeout=30,
                proxy=None,
            ):
                return True
        except (WebSocketException, OSError):
            return False
        finally:
            sock.close()


def watched(notes: Path) -> dict[str, str]:
    """Make the environment in which Python notes connections that leave this machine (see watching/)."""
    notes.touch()
    return {"DINO_NOTES": str(notes), "PYTHONPATH": str(ROOT / "tests" / "helpers" / "watching")}


def start(
    folder: Path, weights: Path | str, *, port: int | None = None, log: str = "log.txt", **more: str
) -> App:
    """Start the app on files below `folder`, and wait until it answers; `more` of its environment."""
    port = port or free_port()
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        "DINO_WEIGHTS": str(weights),
        "DINO_CHECKPOINTS": str(folder / "checkpoints"),
        "DINO_DATA_ROOT": str(folder / "data"),
        **watched(folder / "notes.txt"),
        **more,
    }
    words = ["run", "app/server.py", "--server.port", str(port), "--server.headless", "true"]
    with (folder / log).open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "tests/helpers/watched_server.py", *words],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    app = App(process, port, folder / log, folder / "notes.txt")
    wait_for(app.address, process, app.log)
    return app


def end(app: App) -> None:
    """End a server that we started."""
    if app.process.poll() is None:
        app.process.send_signal(signal.SIGTERM)
        app.process.wait(timeout=30)


@contextlib.contextmanager
def running(folder: Path, weights: Path | str, **options: str) -> Iterator[App]:
    """Start the app, and end it in the end."""
    app = start(folder, weights, **options)
    try:
        yield app
    finally:
        end(app)
