"""Open http and https addresses with the standard library: timed, and public machines alone where asked.

The environment's proxies and certificates are used; requests takes certificates of its own, urllib3 no
proxies by itself, and both need the bounded name lookup too.
"""

from __future__ import annotations

import functools
import http.client
import ipaddress
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from dino.errors import DownloadError

_USER_AGENT = "dino-explorer"


def shown(url: str) -> str:
    """Write an address without what may be secret in it: name and password, and all after the `?`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def open_url(
    url: str,
    headers: dict[str, str],
    *,
    connect_timeout_s: float,
    read_timeout_s: float,
    allow_private: bool = True,
) -> Any:
    """Open `url` with GET; redirects are followed, but only to http and https.

    Args:
        allow_private: False refuses addresses of this machine and of private networks, of every redirect
            too.
    Returns:
        The response, also one of status 416.
    Raises:
        DownloadError: one sentence for a refused, unknown or silent host and for any other status.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    # Not `build_opener`: it would also follow a redirect to ftp: and open file: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        _TimedHandler(read_timeout_s, allow_private=allow_private),
    ):
        opener.add_handler(handler)
    # the scheme has been checked
    request = urllib.request.Request(url, headers={"User-Agent": _USER_AGENT, **headers})  # noqa: S310
    try:
        return opener.open(request, timeout=connect_timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        error.close()
        raise DownloadError(f"{shown(url)}: {_status_sentence(error.code, host)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadError(f"{shown(url)}: {_reason_sentence(reason, host)}") from error


class _PrivateAddressError(OSError):
    """An address that is not to be asked on behalf of a visitor."""


class _TimedConnection(http.client.HTTPConnection):
    """Connects within `timeout`, then waits up to `read_timeout_s` for each answer."""

    def __init__(
        self, *address: Any, read_timeout_s: float, allow_private: bool, **options: Any
    ) -> None:
        super().__init__(*address, **options)
        self._read_timeout_s, self._allow_private = read_timeout_s, allow_private

    def connect(self) -> None:
        found = look_up(self.host, self.port, self.timeout)
        if not self._allow_private:
            _check_public(self.host, found)
        super().connect()
        if not self._allow_private:  # the name may have got another address since it was looked up
            _check_public(self.host, [self.sock.getpeername()[0]])
        self.sock.settimeout(self._read_timeout_s)


class _TimedSecureConnection(_TimedConnection, http.client.HTTPSConnection):
    """The same over TLS."""


class _TimedHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens both schemes through the timed connections."""

    def __init__(self, read_timeout_s: float, *, allow_private: bool) -> None:
        urllib.request.HTTPSHandler.__init__(self)
        self._read_timeout_s, self._allow_private = read_timeout_s, allow_private

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._timed(_TimedConnection, req), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._timed(_TimedSecureConnection, req), req)

    def _timed(self, kind: type[_TimedConnection], request: urllib.request.Request) -> Any:
        """Prepare connections; of a proxy, which may well be private, what it is asked for is checked."""
        target, port = urlsplit(request.full_url).hostname or "", urlsplit(request.full_url).port
        is_proxied = urlsplit(f"//{request.host}").hostname != target
        if is_proxied and not self._allow_private:
            _check_public(target, look_up(target, port or 0, request.timeout))
        allowed = self._allow_private or is_proxied
        return functools.partial(kind, read_timeout_s=self._read_timeout_s, allow_private=allowed)


def _check_public(host: str, addresses: Iterable[str]) -> None:
    """Refuse a host that has any address which not every machine on the internet could ask."""
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        # ::ffff:10.0.0.1 is 10.0.0.1 by another name
        plain = getattr(address, "ipv4_mapped", None) or address
        if not plain.is_global or plain.is_multicast:
            raise _PrivateAddressError(f"{host} is an address of a private network")


def look_up(host: str, port: int, timeout_s: float | None) -> list[str]:
    """Look a name's addresses up within `timeout_s`: the system's own resolver may take half a minute.

    Raises:
        OSError: no such name, or no answer in time.
    """
    failures: list[OSError] = []
    found: list[str] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.extend(str(answer[4][0]) for answer in answers)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError("the name lookup did not answer")
    if failures:
        raise failures[0]
    return found


def _status_sentence(status: int, host: str) -> str:
    if status in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE):
        return f"{host} has no such file ({status}); it may have moved, so look for it on its page"
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"{host} has a fault of its own just now ({status}); try again later"
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return f"{host} does not give this file without a login or from here ({status})"
    return f"{host} answered with status {status} instead of the file"


def _reason_sentence(reason: object, host: str) -> str:
    if isinstance(reason, _PrivateAddressError):
        return f"{reason}, which is not followed from here; give an address of a public server"
    if isinstance(reason, socket.gaierror):
        return f"{host} cannot be found; this machine seems to be offline, so connect and run again"
    if isinstance(reason, ConnectionRefusedError):
        return f"{host} refused the connection; check the address or try again later"
    if isinstance(reason, TimeoutError):
        return f"{host} did not answer in time; check the network and run again"
    return f"{host} could not be reached ({reason}); check the network and run again"
