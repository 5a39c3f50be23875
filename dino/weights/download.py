"""Download one file so that it is either wholly there and checked, or not there.

    download(url, Path("checkpoints/downloads/dino_deitsmall16_pretrain.pth"))

While it runs the bytes are in `FILE.part`, and `FILE.part.json` keeps the server's name for this
version of the file (ETag or Last-Modified), so that a later run goes on where this one stopped and
never joins two versions. Where no hash is known beforehand, the hash of the first download is kept
in `FILE.sha256`, in the format of sha256sum, and `verify` checks against it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import http.client
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dino.errors import DownloadError, WeightsError
from dino.system.files import hash_file, parse_json
from dino.weights.connections import open_url, shown

# Called with (bytes so far, total bytes or None where the server does not say).
DownloadProgress = Callable[[int, int | None], None]
# Opens the address with these headers.
_Ask = Callable[[dict[str, str]], Any]

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
    max_bytes: int | None = None,
    allow_private: bool = True,
) -> Path:
    """Fetch `url` into `destination`, going on from an earlier unfinished download.

    Args:
        url: http or https.
        destination: file to be; its folder is made.
        sha256: expected hash, all digits or the leading ones (8 or more); None records it.
        connect_timeout_s, read_timeout_s: to connect, and to wait for more bytes.
        max_bytes: the largest file that is taken; None: any.
        allow_private: False refuses this machine and private networks, of every redirect too.
    Raises:
        DownloadError: one sentence, also for a wrong hash, a full disk, or a cut that outlasted
            the retries; what arrived is kept where it can be resumed.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{shown(url)}: only http and https addresses are downloaded")
    part = _Part(
        destination.with_name(f"{destination.name}.part"),
        destination.with_name(f"{destination.name}.part.json"),
    )
    ask = functools.partial(
        open_url,
        url,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
        allow_private=allow_private,
    )
    say = progress or (lambda done, total: None)

    def bounded(done: int, total: int | None) -> None:
        """Stop at too many bytes, announced or arrived."""
        if max_bytes is not None and max(done, total or 0) > max_bytes:
            part.drop()
            raise DownloadError(
                f"{shown(url)}: larger than the {max_bytes / 1e9:,.0f} GB that are taken; fetch it by "
                "other means and give the file"
            )
        say(done, total)

    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part.path) as file:
            try:
                _fetch_all(url, file, part, bounded, ask)
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
    url: str, file: IO[bytes], part: _Part, progress: DownloadProgress, ask: _Ask
) -> None:
    """Fill `file`, asking again for the rest after a cut."""
    for attempt in range(_MAX_RETRIES + 1):
        try:
            _fetch_rest(url, file, part, progress, ask)
            return
        except _CutError as cut:
            if attempt == _MAX_RETRIES:
                done = part.size()
                kept = part.validator(url) is not None
                if not kept:
                    part.drop()
                raise DownloadError(
                    f"{shown(url)}: the connection was cut {attempt + 1} times ({cut}), {done:,} bytes "
                    f"have arrived; run again to {'go on from there' if kept else 'start afresh'}"
                ) from cut
            time.sleep(_RETRY_PAUSE_S * 2**attempt)


def _fetch_rest(
    url: str, file: IO[bytes], part: _Part, progress: DownloadProgress, ask: _Ask
) -> None:
    """Ask once for what is missing; `file` holds the whole at return."""
    start, validator = part.size(), part.validator(url)
    headers = {"Accept-Encoding": "identity"}
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with ask(headers) as response:
        if response.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _content_range(response)[1] == start:
                return  # it was all there already
            part.restart(file)
            raise _CutError("the server has less of the file than was kept here")
        if "text/html" in response.headers.get("Content-Type", ""):
            part.drop()
            raise DownloadError(
                f"{shown(url)}: a web page came instead of the file, perhaps a login page of this "
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
            f"{shown(url)}: the file that came has sha256 {found[:16]}…, expected {sha256[:16]}…; it was "
            "removed, so try again or tell the maintainers"
        )
    if sha256 is None:
        record(destination, found)
    part.path.replace(destination)
    part.note.unlink(missing_ok=True)
