"""The app behind a check of who asks: `streamlit run app/server.py` (or `make app`).

Streamlit looks at Host and Origin of a session alone, and lets in pages of another port of this machine.
Here every request must name this server and come from one of its own pages, or nothing is answered.
A server that answers is ready: torch and the pages are loaded before, and no visitor waits for them.
"""

import gc
import importlib
import pkgutil
import sys
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Streamlit puts this file's folder on the path; the packages are one above.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from dino.system.processes import importing, let_idle_threads_sleep

let_idle_threads_sleep()

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What a WebSocket is closed with that breaks a rule (RFC 6455, 7.4.1); before it opens, a 403.
_BREAKS_A_RULE = 1008
_HEADERS = ("host", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
_UNNAMED = (
    "This server does not answer to this name. Whoever runs it can list all names it has, with spaces "
    "between, in STREAMLIT_SERVER_ALLOWED_HOSTS."
)
_FOREIGN = (
    "A page of another site asked for this; open the app by its own address. Behind a proxy that hands "
    "on another Host, whoever runs it can give the proxy's address, such as https://dino.example, in "
    "STREAMLIT_SERVER_CORS_ALLOWED_ORIGINS."
)


class OwnPagesOnly:
    """ASGI middleware: refuses requests by another name and requests of other sites' pages.

    Names are those of `server.allowedHosts`. A page is one of its own where Origin is of the same host and
    port as Host, or in `server.corsAllowedOrigins`, for a proxy that hands on another Host. Where a browser
    sends no Origin, with pictures and scripts, it says in Sec-Fetch-Site who asks (Fetch Metadata Request
    Headers, W3C; to https and to this machine only). A link to the app stays allowed, a frame around it
    does not. `server.enableCORS = false` lets in the pages of all sites, as in Streamlit.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif (refusal := _refusal(scope["headers"])) is not None:
            await _refuse(refusal, scope, receive, send)
        elif scope["type"] == "websocket":
            await self.app(_as_own(scope), receive, send)
        else:
            await self.app(scope, receive, _unframed(send))


async def _refuse(refusal: str, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _BREAKS_A_RULE, "reason": ""})
    else:
        await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, send)


def _refusal(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Say why a request is not answered, in a sentence; None if it is."""
    values: dict[str, str] = {}
    for name, value in ((n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in headers):
        if name in _HEADERS and values.setdefault(name, value) != value:
            return f"{name} was sent twice, and not the same."
    host = values.get("host", "")
    if not is_allowed(host, st.get_option("server.allowedHosts")):
        return _UNNAMED
    if not st.get_option("server.enableCORS"):
        return None
    origin, site = values.get("origin"), values.get("sec-fetch-site", "none")
    if origin is not None:
        return None if origin in _allowed_origins() or same_host(origin, host) else _FOREIGN
    followed = (
        values.get("sec-fetch-mode") == "navigate" and values.get("sec-fetch-dest") == "document"
    )
    return None if site in ("none", "same-origin") or followed else _FOREIGN


def _allowed_origins() -> list[str]:
    return [origin.strip() for origin in st.get_option("server.corsAllowedOrigins")]


def _as_own(scope: Scope) -> Scope:
    """Rewrite a session's request so that Streamlit lets it in without asking a server on the internet for
    this machine's address, which it does for every Origin that differs from Host."""
    headers = dict(scope["headers"])
    if b"origin" in headers:
        headers[b"origin"] = b"http://" + headers[b"host"]
    return {**scope, "headers": list(headers.items())}


def _unframed(send: Send) -> Send:
    """Add to answers that browsers show them within the app's own pages alone."""
    sources = " ".join(["'self'", *_allowed_origins()])
    frames = (b"content-security-policy", f"frame-ancestors {sources}".encode("latin-1"))

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and st.get_option("server.enableCORS"):
            message = {**message, "headers": [*message.get("headers", ()), frames]}
        await send(message)

    return sending


def is_allowed(host: str, names: Iterable[str]) -> bool:
    """Tell whether a Host header ("name:port") is one of `names`; "*.site" stands for all names below, "*"
    and an empty list for every name."""
    asked = _host_and_port(f"//{host}")
    if asked is None:
        return False
    known = [name.strip().lower().rstrip(".") for name in names]
    asked_name = asked[0].rstrip(".")
    return not known or any(
        name in ("*", asked_name) or (name.startswith("*.") and asked_name.endswith(name[1:]))
        for name in known
    )


def same_host(origin: str, host: str) -> bool:
    """Tell whether an Origin header and a Host header are of one host and port."""
    asking = _host_and_port(origin)
    scheme = urlsplit(origin).scheme if asking else ""
    return asking is not None and asking == _host_and_port(f"{scheme}://{host}")


def _host_and_port(address: str) -> tuple[str, int | None] | None:
    """Split "scheme://host:port" into host and port, the scheme's own port where none is given; None if it
    is not exactly that."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return host.lower(), port or _DEFAULT_PORTS.get(parts.scheme)


def _load() -> None:
    """Import what the first page would: the pages, the networks, and which arithmetic suits this machine."""
    with importing("timm"):
        import timm.models.vision_transformer  # noqa: F401

        from app import views

        for module in pkgutil.walk_packages(views.__path__, "app.views."):
            importlib.import_module(module.name)
    from dino.model.device import choose_device, choose_precision

    choose_precision("auto", choose_device("auto"))
    # Streamlit collects garbage after every run of a page, with torch's half a million objects a third
    # of a second in which no session's page runs. What is loaded by now stays and need not be looked at.
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def _ready(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Get ready, and open the browser where there is one, as `streamlit run` does with a script."""
    _load()
    if not st.get_option("server.headless"):
        address = st.get_option("browser.serverAddress")
        webbrowser.open(f"http://{address}:{st.get_option('server.port')}")
    yield {}


app = st.App("main.py", lifespan=_ready, middleware=[Middleware(OwnPagesOnly)])
