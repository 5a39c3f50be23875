"""Opening an http(s) address with a short time to connect and a longer one to answer."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from dino.errors import DownloadError

USER_AGENT = "dino-explorer"


class _TimedHTTP(http.client.HTTPConnection):
    """Connects within `timeout`, then waits up to `read_timeout_s` for each answer."""

    read_timeout_s = 30.0

    def connect(self) -> None:
        _resolve(self.host, self.port, self.timeout)
        super().connect()
        self.sock.settimeout(self.read_timeout_s)


class _TimedHTTPS(http.client.HTTPSConnection):
    read_timeout_s = 30.0

    def connect(self) -> None:
        _resolve(self.host, self.port, self.timeout)
        super().connect()
        self.sock.settimeout(self.read_timeout_s)


def _resolve(host: str, port: int, timeout_s: float | None) -> None:
    """Look a name up within `timeout_s`: the system's own resolver may take half a minute.

    Raises:
        OSError: no such name, or no answer in time.
    """
    failures: list[OSError] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError("the name lookup did not answer")
    if failures:
        raise failures[0]


class _Handler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens both schemes through the timed connections."""

    def __init__(self, read_timeout_s: float) -> None:
        urllib.request.HTTPSHandler.__init__(self)
        self._read_timeout_s = read_timeout_s

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._timed(_TimedHTTP), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._timed(_TimedHTTPS), req)

    def _timed(self, kind: type[_TimedHTTP] | type[_TimedHTTPS]) -> Any:
        def make(host: str, **options: Any) -> http.client.HTTPConnection:
            connection = kind(host, **options)
            connection.read_timeout_s = self._read_timeout_s
            return connection

        return make


def open_url(
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
        _Handler(read_timeout_s),
    ):
        opener.add_handler(handler)
    # the caller has checked the scheme
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, **headers})  # noqa: S310
    try:
        return opener.open(request, timeout=connect_timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        error.close()
        raise DownloadError(f"{url}: {_status_sentence(error.code, host)}") from error
    except urllib.error.URLError as error:
        raise DownloadError(f"{url}: {_reason_sentence(error.reason, host)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url}: {_reason_sentence(error, host)}") from error


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
