"""The app behind a door of its own: `streamlit run app/server.py` (or `make app`).

Streamlit looks at Host and Origin of a session alone, and lets in pages of another port of this machine.
Here every request must name this server and come from one of its own pages, or nothing is answered.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What a WebSocket is closed with that breaks a rule (RFC 6455, 7.4.1); before it opens, a 403.
_BREAKS_A_RULE = 1008


class OwnPagesOnly:
    """ASGI middleware: refuses requests by another name and requests of other sites' pages.

    Names are those of `server.allowedHosts`. A page is one of its own where Origin is of the same host and
    port as Host, or in `server.corsAllowedOrigins`, for a proxy that hands on another Host. Where a browser
    sends no Origin, with pictures and scripts, it says in Sec-Fetch-Site who asks (Fetch Metadata Request
    Headers, W3C); following a link to the app stays allowed.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _BREAKS_A_RULE, "reason": ""})
        else:
            await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, send)


def _refusal(scope: Scope) -> str | None:
    """Why a request is not answered, in a sentence; None if it is."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    names = st.get_option("server.allowedHosts")
    if not named(host, names):
        return (
            f"This server does not answer to {host!r} but to {', '.join(names)}; whoever runs it can "
            "add names in STREAMLIT_SERVER_ALLOWED_HOSTS."
        )
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    allowed = {*map(str.strip, st.get_option("server.corsAllowedOrigins"))}
    foreign = origin is not None and origin not in allowed and not same_place(origin, host)
    embedded = origin is None and site not in ("none", "same-origin")
    if foreign or (embedded and headers.get("sec-fetch-mode") != "navigate"):
        return (
            "A page of another site asked for this; open the app by its own address. Behind a proxy, "
            "name the proxy's address in STREAMLIT_SERVER_CORS_ALLOWED_ORIGINS."
        )
    return None


def named(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header ("name:port") is one of `names`; "*.site" stands for all names below, "*" and
    an empty list for every name."""
    names = [name.strip().lower().rstrip(".") for name in names]
    place = _place(f"//{host}")
    if place is None:
        return False
    found = place[0].rstrip(".")
    return not names or any(
        name in ("*", found) or (name.startswith("*.") and found.endswith(name[1:]))
        for name in names
    )


def same_place(origin: str, host: str) -> bool:
    """Whether an Origin header and a Host header are of one host and port."""
    asking = _place(origin)
    scheme = urlsplit(origin).scheme if asking else ""
    return asking is not None and asking == _place(f"{scheme}://{host}")


def _place(address: str) -> tuple[str, int | None] | None:
    """Host and port of "scheme://host:port", the scheme's own port where none is given; None if it is not
    exactly that."""
    try:
        parts = urlsplit(address)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return name.lower(), port or _DEFAULT_PORTS.get(parts.scheme)


app = st.App("main.py", middleware=[Middleware(OwnPagesOnly)])
