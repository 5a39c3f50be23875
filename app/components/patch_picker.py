"""A large picture whose patches can be picked: by click or tap, by arrow keys, with Esc for CLS.

With a photo given, a slider wipes between it and the map. Nothing but the pick reaches the server.
"""

import base64
from collections.abc import Callable

import streamlit as st

from dino.errors import UserError
from dino.queries import Query, parse_query, query_name

_HTML = """
<div id="frame" tabindex="0" role="application">
  <img id="map"><img id="photo" hidden>
  <div id="hover" class="patch" hidden></div><div id="chosen" class="patch" hidden></div>
  <div id="edge" hidden></div>
</div>
<label id="wipe" hidden><span>Photo</span><input type="range" min="0" max="100" value="50"
  aria-label="How much of the photo is shown beside the map, in percent"><span>Map</span></label>
<div id="foot"><span id="hint"></span><span id="keys">
  <button data-row="0" data-column="-1" aria-label="One patch to the left">◀</button>
  <button data-row="-1" data-column="0" aria-label="One patch up">▲</button>
  <button data-row="1" data-column="0" aria-label="One patch down">▼</button>
  <button data-row="0" data-column="1" aria-label="One patch to the right">▶</button>
  </span><button id="cls" hidden>Back to CLS</button></div>
<div id="said" role="status" aria-live="polite"></div>
"""

_CSS = """
:host, div { font: 0.85rem/1.35 var(--st-font); color: var(--st-text-color); }
#frame { position: relative; cursor: crosshair; border-radius: 0.4rem; overflow: hidden;
  touch-action: manipulation; -webkit-user-select: none; user-select: none; }
#frame:focus { outline: none; }
#frame:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
img { display: block; width: 100%; height: auto; pointer-events: none; }
#photo { position: absolute; inset: 0; height: 100%; }
[hidden] { display: none !important; }
.patch { position: absolute; box-sizing: border-box; pointer-events: none; min-width: 7px; min-height: 7px; }
#hover { border: 1px solid #fff; box-shadow: 0 0 0 1px rgba(0,0,0,.75); }
#chosen { border: 2px solid #ff8c00; box-shadow: 0 0 0 1.5px #000, inset 0 0 0 1px #000; }
#edge { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 0 1px rgba(0,0,0,.6); pointer-events: none; }
#wipe { display: flex; gap: 0.6rem; align-items: center; padding-top: 0.4rem; }
#wipe input { flex: 1; min-width: 0; accent-color: var(--st-primary-color); }
#foot { display: flex; flex-wrap: wrap; gap: 0.35rem 0.5rem; align-items: center; min-height: 1.9rem;
  padding-top: 0.3rem; }
#hint { opacity: 0.75; flex: 1 1 12rem; }
#keys { display: none; gap: 0.25rem; }
@media (pointer: coarse) { #keys { display: inline-flex; } }
button { font: inherit; color: inherit; background: var(--st-secondary-background-color);
  border: 1px solid var(--st-border-color); border-radius: 0.4rem; padding: 0.15rem 0.55rem; cursor: pointer; }
@media (pointer: coarse) { button { min-height: 2.4rem; min-width: 2.4rem; } }
button:focus-visible { outline: 2px solid var(--st-primary-color); }
#said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""

_JS = """
const DEBOUNCE_MS = 250; // held arrow keys send their last patch only
const memory = new WeakMap(); // what each picker has pending, between two renders

export default function ({ data, parentElement, setTriggerValue }) {
  const at = (id) => parentElement.querySelector("#" + id);
  const frame = at("frame"), map = at("map"), photo = at("photo");
  const state = memory.get(frame) ?? { timer: 0, patch: null };
  memory.set(frame, state);
  if (!state.timer) state.patch = data.patch;

  const describe = (patch) =>
    patch ? `Patch at row ${patch[0]}, column ${patch[1]}` : data.token;
  const place = (box, patch) => {
    box.hidden = !patch;
    if (!patch) return;
    box.style.top = `${(100 * patch[0]) / data.rows}%`;
    box.style.left = `${(100 * patch[1]) / data.columns}%`;
    box.style.height = `${100 / data.rows}%`;
    box.style.width = `${100 / data.columns}%`;
  };
  const draw = () => {
    place(at("chosen"), state.patch);
    at("cls").hidden = !data.has_cls || (!state.patch && data.is_cls);
    at("hint").textContent = state.patch
      ? `${describe(state.patch)}: arrow keys move it${data.has_cls ? ", Esc goes back to CLS" : ""}.`
      : "Click a patch to see what it looks at; arrow keys move it.";
    frame.setAttribute("aria-label",
      `${data.alt} ${describe(state.patch)} is asked. Arrow keys move over ` +
      `${data.rows} rows and ${data.columns} columns of patches, Escape returns to the CLS token.`);
  };
  const send = () => {
    state.timer = 0;
    setTriggerValue("picked", state.patch ? state.patch.join(":") : "cls");
  };
  const choose = (patch, wait) => {
    if (!patch && !data.has_cls) return;
    state.patch = patch;
    draw();
    at("said").textContent = patch ? describe(patch) : "CLS token";
    clearTimeout(state.timer);
    state.timer = setTimeout(send, wait);
  };
  const under = (event) => {
    const box = frame.getBoundingClientRect();
    const part = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value * count)));
    return [
      part((event.clientY - box.top) / box.height, data.rows),
      part((event.clientX - box.left) / box.width, data.columns),
    ];
  };
  const move = (rows, columns) => {
    const [row, column] = state.patch ??
      [Math.floor(data.rows / 2) - rows, Math.floor(data.columns / 2) - columns];
    choose([
      Math.min(data.rows - 1, Math.max(0, row + rows)),
      Math.min(data.columns - 1, Math.max(0, column + columns)),
    ], DEBOUNCE_MS);
  };

  map.src = data.map;
  map.alt = data.alt;
  photo.hidden = at("wipe").hidden = at("edge").hidden = !data.photo;
  if (data.photo) {
    photo.src = data.photo;
    photo.alt = data.photo_alt;
    const slider = at("wipe").querySelector("input");
    const wipe = () => {
      photo.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
      at("edge").style.left = `${slider.value}%`;
    };
    slider.oninput = wipe;
    wipe();
  }
  frame.onpointermove = (event) => {
    if (event.pointerType !== "touch") place(at("hover"), under(event));
  };
  frame.onpointerleave = () => place(at("hover"), null);
  frame.onclick = (event) => choose(under(event), 0);
  const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  frame.onkeydown = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") choose(null, 0);
    else if (arrows[event.key]) move(...arrows[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  for (const key of parentElement.querySelectorAll("#keys button")) {
    key.onclick = () => move(Number(key.dataset.row), Number(key.dataset.column));
  }
  at("cls").onclick = () => choose(null, 0);
  draw();
}
"""

_component = st.components.v2.component("dino_patch_picker", html=_HTML, css=_CSS, js=_JS)


def patch_picker(
    key: str,
    *,
    picture: bytes,
    alt: str,
    grid: tuple[int, int],
    query: Query,
    has_cls: bool,
    on_pick: Callable[[str], None],
    photo: bytes | None = None,
    photo_alt: str = "",
) -> None:
    """Draw a picture and call `on_pick("12:7" or "cls")` before the run that follows a pick.

    Args:
        picture: JPEG, covered by the patches from edge to edge.
        grid: patches (h, w).
        query: what is asked now; a patch is outlined.
        has_cls: whether there is a CLS token to go back to.
        photo: JPEG of the same size, to compare with.
    """

    def changed() -> None:
        try:
            picked = parse_query(str(st.session_state[key].picked))
        except UserError:
            return  # not from our own script; nothing to tell a user
        on_pick(query_name(picked))

    is_patch = isinstance(query, tuple)
    data = {
        "map": _uri(picture),
        "photo": _uri(photo) if photo else None,
        "alt": alt,
        "photo_alt": photo_alt,
        "rows": grid[0],
        "columns": grid[1],
        "patch": list(query) if is_patch else None,
        "token": "The CLS token" if query == "cls" else f"The token {query_name(query)}",
        "is_cls": query == "cls",
        "has_cls": has_cls,
    }
    _component(key=key, data=data, on_picked_change=changed)


def _uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
