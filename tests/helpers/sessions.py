"""A browser session without a browser: Streamlit's protocol over its websocket, uploads and pictures over HTTP.

Sixteen Chromium pages on the machine that serves them would measure Chromium. This asks the server for what a
page would, in the order a page would, and knows a control by its label, as its user does.
"""

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from helpers.server_cases import App

_PATIENCE_S = 120
_FINISHED = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
_MEDIA = re.compile(r"/media/[0-9a-f]+\.\w+")
_COOKIE = "_streamlit_xsrf"


@dataclass
class Shown:
    """An element of the page, the fragment it belongs to, and the run that drew it."""

    element: Any
    fragment: str
    run: int

    @property
    def kind(self) -> str:
        """Name it as in streamlit.proto.Element."""
        return str(self.element.WhichOneof("type"))

    @property
    def message(self) -> Any:
        return getattr(self.element, self.kind)

    @cached_property
    def words(self) -> str:
        """Gather everything in it that can be read; as it was sent, for protobuf's own text takes long."""
        return self.element.SerializeToString().decode("utf-8", "replace")


class Session:
    """One session on a page: what it shows, by place, and what its user has set."""

    def __init__(self, app: App, page: str, query: str) -> None:
        self._app, self._page, self._query = app, page, query
        self._shown: dict[tuple[int, ...], Shown] = {}
        self._set: dict[str, WidgetState] = {}
        self._requests = itertools.count()
        self._run = 0
        self._session_id = self._page_hash = ""
        self._fetched: set[str] = set()

    async def open(self) -> "Session":
        """Connect as the page does, and wait until it is drawn."""
        _, headers, _ = await self._ask("/_stcore/health")
        found = re.search(rf"{_COOKIE}=([^;]+)", headers.get("set-cookie", ""))
        self._token = found[1] if found else ""
        self._socket = await websockets.connect(
            self._app.address.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=["streamlit", self._token],
            origin=self._app.address,
            additional_headers={"Cookie": f"{_COOKIE}={self._token}"},
            max_size=None,
            proxy=None,
        )
        await self._rerun()
        return self

    async def close(self) -> None:
        await self._socket.close()

    def words(self) -> str:
        """Gather all that the page shows, an element a line."""
        return "\n".join(shown.words for shown in self._shown.values())

    def kinds(self) -> set[str]:
        """Say of what kinds the elements of the page are."""
        return {shown.kind for shown in self._shown.values()}

    async def slide(self, label: str, value: float) -> None:
        """Set a slider, and wait until the page is done and its new pictures are here."""
        await self._set_widget("slider", label, lambda s: s.double_array_value.data.append(value))

    async def upload(self, label: str, name: str, data: bytes, kind: str) -> None:
        """Choose a file in an uploader, and wait as in `slide`."""
        request = BackMsg()
        request.file_urls_request.request_id = str(next(self._requests))
        request.file_urls_request.file_names.append(name)
        request.file_urls_request.session_id = self._session_id
        await self._socket.send(request.SerializeToString())
        answer = await self._until(lambda got: got.WhichOneof("type") == "file_urls_response")
        urls = answer.file_urls_response.file_urls[0]
        body = (
            f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode() + data + b"\r\n--x--\r\n"  # fmt: skip
        status, _, said = await self._ask(
            urls.upload_url,
            "PUT",
            body,
            Content_Type="multipart/form-data; boundary=x",
            X_Xsrftoken=self._token,
            Cookie=f"{_COOKIE}={self._token}",
        )
        assert status in (200, 204), said

        def chosen(state: WidgetState) -> None:
            info = state.file_uploader_state_value.uploaded_file_info.add()
            info.name, info.size, info.file_id = name, len(data), urls.file_id
            info.file_urls.CopyFrom(urls)

        await self._set_widget("file_uploader", label, chosen)

    async def _ask(self, *words: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return await asyncio.to_thread(self._app.request, *words, **headers)

    async def _set_widget(self, kind: str, label: str, fill: Callable[[WidgetState], None]) -> None:
        labels = {s.message.label: s for s in self._shown.values() if s.kind == kind}
        assert label in labels, f"the page has no {kind} {label!r} but {list(labels)}"
        widget = labels[label]
        state = WidgetState(id=widget.message.id)
        fill(state)
        self._set[state.id] = state
        await self._rerun(widget.fragment)

    async def _rerun(self, fragment: str = "") -> None:
        """Ask for a run with everything set so far; wait for its end and fetch the pictures it shows."""
        asked = BackMsg()
        asked.rerun_script.query_string = self._query
        asked.rerun_script.widget_states.widgets.extend(self._set.values())
        asked.rerun_script.page_script_hash = self._page_hash
        asked.rerun_script.fragment_id = fragment
        if not self._page_hash:
            asked.rerun_script.page_name = self._page
        await self._socket.send(asked.SerializeToString())
        await self._until(
            lambda got: (
                got.WhichOneof("type") == "script_finished" and got.script_finished in _FINISHED
            )
        )
        # What this run did not draw again is gone.
        self._shown = {
            place: shown
            for place, shown in self._shown.items()
            if shown.run == self._run or (fragment and shown.fragment != fragment)
        }
        await self._fetch_pictures()

    async def _until(self, wanted: Callable[[ForwardMsg], bool]) -> ForwardMsg:
        """Take in messages up to the wanted one."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                got = ForwardMsg()
                got.ParseFromString(await self._socket.recv())
                self._take(got)
                if wanted(got):
                    return got

    def _take(self, got: ForwardMsg) -> None:
        kind = got.WhichOneof("type")
        if kind == "new_session":
            self._session_id = got.new_session.initialize.session_id
            self._run += 1
        elif kind == "navigation":
            self._page_hash = got.navigation.page_script_hash
        elif kind == "page_info_changed":
            self._query = got.page_info_changed.query_string
        elif kind == "delta" and got.delta.WhichOneof("type") == "new_element":
            self._shown[tuple(got.metadata.delta_path)] = Shown(
                got.delta.new_element, got.delta.fragment_id, self._run
            )

    async def _fetch_pictures(self) -> None:
        wanted = set(_MEDIA.findall(self.words())) - self._fetched
        for status, _, _ in await asyncio.gather(*(self._ask(path) for path in wanted)):
            assert status == 200
        self._fetched |= wanted
