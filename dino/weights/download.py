"""Download one file so that it is either wholly there and checked, or not there.

    download(url, Path("checkpoints/downloads/dino_deitsmall16_pretrain.pth"))

While it runs the bytes are in `FILE.part`, and `FILE.part.json` keeps the server's name for this
version of the file (ETag or Last-Modified), so that a later run goes on where this one stopped and
never joins two versions. Where no hash is known beforehand, the hash of the first download is kept
in `FILE.sha256`, in the format of sha256sum, and `verify` checks against it.

The standard library does the HTTP, with the environment's proxies and certificates; requests takes
certificates of its own, urllib3 no proxies by itself, and both need the bounded name lookup too.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import json
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from dino.errors import DownloadError, WeightsError
from dino.system.files import hash_file, parse_json

# Called with (bytes so far, total bytes or None where the server does not say).
DownloadProgress = Callable[[int, int | None], None]

_USER_AGENT = "dino-explorer"
_CHUNK_BYTES = 1 << 20
_MAX_RETRIES = 3
_RETRY_PAUSE_S = 0.5


def download(
    url: str,
    destination: Path,
    *,
    sha256: str | None = None,
    progress: DownloadProgress | None = None,
    connect_timeout_s: float = 3.0,
    read_timeout_s: float = 30,
) -> Path:
    """Fetch `url` into `destination`, going on from an earlier unfinished download.

    Args:
        url: http or https.
        destination: file to be; its folder is made.
        sha256: expected hash, all digits or the leading ones (8 or more); None records it.
        connect_timeout_s, read_timeout_s: to connect, and to wait for more bytes.
    Raises:
        DownloadError: one sentence, also for a wrong hash, a full disk, or a cut that outlasted
            the retries; what arrived is kept where it can be resumed.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url}: only http and https addresses are downloaded")
    part = _Part(
        destination.with_name(f"{destination.name}.part"),
        destination.with_name(f"{destination.name}.part.json"),
    )
    timeouts = {"connect_timeout_s": connect_timeout_s, "read_timeout_s": read_timeout_s}
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part.path) as file:
            try:
                _fetch_all(url, file, part, progress or (lambda done, total: None), timeouts)
                file.flush()
                os.fsync(file.fileno())
            finally:
                if part.size() == 0:
                    part.drop()
            _finish(url, part, destination, sha256)
    except OSError as error:
        if part.validator(url) is None:
            part.drop()  # without a version to name, the rest could never be asked for
        why = f"cannot be written ({error.strerror or error}); choose another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; free space and run again, which goes on from here"
        raise DownloadError(f"{destination}: {why}") from error
    return destination


def record(path: Path, sha256: str) -> None:
    """Write `FILE.sha256` beside `path`, in the format of sha256sum."""
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256}  {path.name}\n")


def verify(path: Path, *, sha256: str | None = None) -> bool:
    """Check a file against its pinned hash, or the one recorded beside it.

    Args:
        sha256: pinned hash, all digits or the leading ones.
    Returns:
        True: checked and right. False: no hash to check against.
    Raises:
        WeightsError: no such file, or it has changed since, or was damaged.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file to check")
    recorded = path.with_name(f"{path.name}.sha256")
    if sha256 is None and recorded.is_file():
        sha256 = (recorded.read_text().split() or [""])[0] or None
    if sha256 is None:
        return False
    found = hash_file(path)
    if not found.startswith(sha256.lower()):
        raise WeightsError(
            f"{path}: has sha256 {found[:16]}…, expected {sha256[:16]}…; it was changed or "
            "damaged, so delete it and fetch it again"
        )
    return True


@dataclass(frozen=True)
class _Part:
    """The unfinished file and the note about which version of it this is."""

    path: Path
    note: Path

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self, url: str) -> str | None:
        """Read what to send as If-Range; None where the rest of this version cannot be asked for."""
        try:
            note = parse_json(self.note.read_bytes())
            return str(note["validator"]) if note["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, url: str, headers: Any) -> None:
        """Keep the version of what is about to be written; none if the server gives no name."""
        etag = headers.get("ETag")
        # a weak ETag says "equivalent", not "equal byte by byte", and may not join two parts
        validator = headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
        if validator:
            self.note.write_text(json.dumps({"url": url, "validator": validator}))
        else:
            self.note.unlink(missing_ok=True)

    def restart(self, file: IO[bytes]) -> None:
        """Empty the part, which is open as `file`."""
        file.truncate(0)
        self.note.unlink(missing_ok=True)

    def drop(self) -> None:
        for path in (self.path, self.note):
            with contextlib.suppress(OSError):
                path.unlink()


class _CutError(Exception):
    """The connection ended or fell silent before the end."""


def _locked(path: Path) -> IO[bytes]:
    """Open `path` for appending, by this download alone.

    Raises:
        DownloadError: another process or thread is writing it.
    """
    file = path.open("ab")
    try:
        import fcntl
    except ImportError:  # Windows: two downloads of one file at once are not guarded against
        return file
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file  # else the other one finished and moved it away under us
    file.close()
    raise DownloadError(f"{path}: another process is downloading this; wait for it and run again")


def _fetch_all(
    url: str, file: IO[bytes], part: _Part, progress: DownloadProgress, timeouts: dict[str, float]
) -> None:
    """Fill `file`, asking again for the rest after a cut."""
    for attempt in range(_MAX_RETRIES + 1):
        try:
            _fetch_rest(url, file, part, progress, timeouts)
            return
        except _CutError as cut:
            if attempt == _MAX_RETRIES:
                done = part.size()
                kept = part.validator(url) is not None
                if not kept:
                    part.drop()
                raise DownloadError(
                    f"{url}: the connection was cut {attempt + 1} times ({cut}), {done:,} bytes "
                    f"have arrived; run again to {'go on from there' if kept else 'start afresh'}"
                ) from cut
            time.sleep(_RETRY_PAUSE_S * 2**attempt)


def _fetch_rest(
    url: str, file: IO[bytes], part: _Part, progress: DownloadProgress, timeouts: dict[str, float]
) -> None:
    """Ask once for what is missing; `file` holds the whole at return."""
    start, validator = part.size(), part.validator(url)
    headers = {"Accept-Encoding": "identity"}
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with _open_url(url, headers, **timeouts) as response:
        if response.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _content_range(response)[1] == start:
                return  # it was all there already
            part.restart(file)
            raise _CutError("the server has less of the file than was kept here")
        if "text/html" in response.headers.get("Content-Type", ""):
            part.drop()
            raise DownloadError(
                f"{url}: a web page came instead of the file, perhaps a login page of this "
                "network; open it in a browser first"
            )
        if response.status == http.HTTPStatus.PARTIAL_CONTENT and start:
            first, total = _content_range(response)
            if first != start:
                part.restart(file)
                raise _CutError("the server sent another range than was asked for")
        else:  # the whole file: nothing was kept, or the server has another version or no ranges
            start = 0
            part.restart(file)
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            part.remember(url, response.headers)
        _copy(response, file, start, total, progress)


def _content_range(response: Any) -> tuple[int | None, int | None]:
    """Read first byte and total of a Content-Range header (`bytes 5-9/10`, `bytes */10`)."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if found is None:
        return None, None
    return int(found[1]) if found[1] else None, int(found[2]) if found[2].isdigit() else None


def _copy(
    response: Any, file: IO[bytes], done: int, total: int | None, progress: DownloadProgress
) -> None:
    """Append the body to `file`.

    Raises:
        _CutError: it ended early or fell silent; what came before is in `file`.
    """
    progress(done, total)
    while True:
        try:
            chunk = response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            file.flush()
            raise _CutError(str(error) or type(error).__name__) from error
        if not chunk:
            break
        file.write(chunk)
        done += len(chunk)
        progress(done, total)
    file.flush()
    if total is not None and done != total:
        raise _CutError(f"{done:,} of {total:,} bytes")


def _finish(url: str, part: _Part, destination: Path, sha256: str | None) -> None:
    """Check the hash, or record it, and put the file in its place."""
    found = hash_file(part.path)
    if sha256 is not None and not found.startswith(sha256.lower()):
        part.drop()
        raise DownloadError(
            f"{url}: the file that came has sha256 {found[:16]}…, expected {sha256[:16]}…; it was "
            "removed, so try again or tell the maintainers"
        )
    if sha256 is None:
        record(destination, found)
    part.path.replace(destination)
    part.note.unlink(missing_ok=True)


class _TimedConnection(http.client.HTTPConnection):
    """Connects within `timeout`, then waits up to `read_timeout_s` for each answer."""

    def __init__(self, *address: Any, read_timeout_s: float, **options: Any) -> None:
        super().__init__(*address, **options)
        self._read_timeout_s = read_timeout_s

    def connect(self) -> None:
        _look_up(self.host, self.port, self.timeout)
        super().connect()
        self.sock.settimeout(self._read_timeout_s)


class _TimedSecureConnection(_TimedConnection, http.client.HTTPSConnection):
    """The same over TLS."""


class _TimedHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens both schemes through the timed connections."""

    def __init__(self, read_timeout_s: float) -> None:
        urllib.request.HTTPSHandler.__init__(self)
        self._read_timeout_s = read_timeout_s

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._timed(_TimedConnection), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._timed(_TimedSecureConnection), req)

    def _timed(self, kind: type[_TimedConnection]) -> Any:
        return functools.partial(kind, read_timeout_s=self._read_timeout_s)


def _look_up(host: str, port: int, timeout_s: float | None) -> None:
    """Look a name up within `timeout_s`: the system's own resolver may take half a minute.

    Raises:
        OSError: no such name, or no answer in time.
    """
    failures: list[OSError] = []

    def resolve() -> None:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError("the name lookup did not answer")
    if failures:
        raise failures[0]


def _open_url(
    url: str, headers: dict[str, str], *, connect_timeout_s: float, read_timeout_s: float
) -> Any:
    """Open `url` with GET; redirects are followed, but only to http and https.

    Returns:
        The response, also one of status 416.
    Raises:
        DownloadError: one sentence for a refused, unknown or silent host and for any other status.
    """
    host = urlsplit(url).netloc
    # Not `build_opener`: it would also follow a redirect to ftp: and open file: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        _TimedHandler(read_timeout_s),
    ):
        opener.add_handler(handler)
    # `download` has checked the scheme
    request = urllib.request.Request(url, headers={"User-Agent": _USER_AGENT, **headers})  # noqa: S310
    try:
        return opener.open(request, timeout=connect_timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        error.close()
        raise DownloadError(f"{url}: {_status_sentence(error.code, host)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadError(f"{url}: {_reason_sentence(reason, host)}") from error


def _status_sentence(status: int, host: str) -> str:
    if status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE):
        return f"{host} has no such file ({status}); it may have moved, so look for it on its page"
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"{host} has a fault of its own just now ({status}); try again later"
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return f"{host} does not give this file without a login or from here ({status})"
    return f"{host} answered with status {status} instead of the file"


def _reason_sentence(reason: object, host: str) -> str:
    if isinstance(reason, socket.gaierror):
        return f"{host} cannot be found; this machine seems to be offline, so connect and run again"
    if isinstance(reason, ConnectionRefusedError):
        return f"{host} refused the connection; check the address or try again later"
    if isinstance(reason, TimeoutError):
        return f"{host} did not answer in time; check the network and run again"
    return f"{host} could not be reached ({reason}); check the network and run again"
