"""Take weights by any name: what a text names, an offer to fetch what is not here, and how weights are read.

Nothing is fetched before a press on a button that says what would come from where; on a server that others
can reach nothing is fetched, and no path, address or name of the hub is followed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from app import access
from app.cache import backbones
from app.state import url, weights_menu
from app.state.problems import show_error
from app.state.weights_menu import Reading
from app.text import plain_text
from dino.errors import UserError, WeightsError
from dino.weights import ZOO
from dino.weights.connections import shown
from dino.weights.fetching import is_here
from dino.weights.hub import Repository, hub_host, licence_words
from dino.weights.pretrained import pretrained_repository
from dino.weights.sources import Reference, nearest, resolve
from dino.weights.zoo import DINOV3_LICENSE_URL, ZooEntry

HELP = (
    "Choose, or type: a name of the zoo, timm:NAME, ORG/NAME of the Hugging Face hub, an https:// address, or "
    "the path of a checkpoint."
)
_OFF = (
    "This server is open to the network, so it opens the weights of its menu and files from your browser, and "
    "follows no paths, addresses or names; whoever runs it can start it with ALLOW_TRAINING=1"
)
# Groups of the zoo by how their names begin; what is in none of them is another's.
_GROUPS = {"DINO": "dino_", "DINOv2": "dinov2_", "DINOv3": "dinov3_"}
_OTHERS = "Others"
_CHANNELS = {"mean": "one: R, G and B get its mean", "first": "four or more: the first three"}
_FIELDS = {
    "num_heads": "weights_heads",
    "arch": "weights_arch",
    "channels": "weights_channels",
    "key": "weights_key",
}
_FIELDS_OF, _PROBLEM = "weights_details_of", "weights_details_problem"
_LINK_TAKEN = "weights_link_taken"


@dataclass(frozen=True)
class Offer:
    """Weights that can be fetched: the `text` that names them, what would come from where, and the same in
    a few words for the button."""

    text: str
    about: str
    press: str


@dataclass(frozen=True)
class Found:
    """What came of a text: the `name` of weights that can be opened, or why not, or an offer to fetch."""

    name: str | None = None
    problem: str = ""
    offer: Offer | None = None


def look_up(text: str) -> Found:
    """Find the weights that a text names; those that are here are opened once, and stay in the menu."""
    session = st.session_state
    try:
        if text in weights_menu.weights_options(session):
            location = weights_menu.weights_location(text, session)
            return _offered(text) if weights_menu.is_to_fetch(location) else Found(text)
        if not access.may_work():
            return Found(problem=_OFF)
        named = resolve(text)
        if named.kind == "unknown":
            raise WeightsError(
                f"{text!r} is no file and no name of weights known here; {nearest(text)}"
            )
        if weights_menu.is_to_fetch(text):
            return _offered(text)
        backbones.open_weights(text, session)
    except UserError as error:
        return Found(problem=str(error))
    weights_menu.add_named(text, session)
    return Found(text)


def _offered(text: str) -> Found:
    if not access.may_work():
        return Found(problem=f"{text} is not on this machine. {_OFF}")
    named = resolve(text)
    return Found(offer=Offer(text, _describe(named, text), _press(named)))


def _press(named: Reference) -> str:
    """Say in a few words what a press fetches from where, and how much where that is known."""
    if named.kind == "zoo":
        entry = ZOO[named.name]
        size = "" if entry.size_bytes is None else f" {entry.size_bytes / 1e6:,.0f} MB"
        return f"Fetch{size} from {entry.host}"
    return f"Fetch from {urlsplit(named.name).hostname if named.kind == 'url' else hub_host()}"


def _describe(named: Reference, text: str) -> str:
    """Say what would be fetched: from where, how large, under which licence.

    Raises:
        WeightsError: timm has no such weights.
    """
    if named.kind == "zoo":
        return f"{text} is not on this machine. {_of_zoo(ZOO[named.name])}"
    if named.kind == "timm":
        import timm

        repository = pretrained_repository(named.name)
        cfg = timm.get_pretrained_cfg(named.name)
        source = f"{repository} on {hub_host()}" if repository else "the address that timm knows"
        licence = licence_words(cfg.license if cfg else None)
        return f"{text} is not on this machine. It would come from {source}; licence: {licence}."
    if named.kind == "url":
        return (
            f"{shown(named.name)} would be fetched; its size and licence are not known before, so make sure "
            "that you trust whoever offers it."
        )
    repository = Repository(named.name, named.revision, named.filename)
    first = "" if named.is_sure else f"There is no file or folder {text}; as a name of the hub: "
    licence = f"its licence is on {repository.page}"
    if "dinov3" in named.name.casefold():
        licence += f" (read it first, {DINOV3_LICENSE_URL}: Meta's are given only to those who have accepted it)"
    return f"{first}{repository} would come from {hub_host()}; its size is said when it begins, {licence}."


def _of_zoo(entry: ZooEntry) -> str:
    size = "" if entry.size_bytes is None else f", about {entry.size_bytes / 1e6:,.0f} MB"
    where = entry.host if entry.repository is None else f"{entry.repository} on {hub_host()}"
    return f"It would come from {where}{size}; licence: {entry.license}. {entry.description} {entry.terms}".strip()


def show(found: Found, key: str) -> None:
    """Draw why a text opened nothing, or the offer to fetch what it names; nothing for weights that are here.

    Args:
        key: of the field, which another on the page does not have.
    """
    if found.problem:
        show_error(found.problem)
    if found.offer is not None:
        running = backbones.weights_fetch().running
        draw = st.fragment(_offer, run_every=1.0 if running else None)
        draw(found.offer, key, watched=running)


def _offer(offer: Offer, key: str, *, watched: bool) -> None:
    fetch = backbones.weights_fetch()
    is_ours = fetch.source == offer.text
    if (watched and not fetch.running) or (is_ours and fetch.succeeded and is_here(offer.text)):
        st.rerun()  # with the weights that came, or to look no longer
    st.info(plain_text(offer.about), icon=":material/download:")
    with st.container(horizontal=True):
        # The whole page is drawn anew, so that this part of it looks again every second.
        if st.button(
            offer.press, key=f"{key}_fetch", type="primary", icon=":material/download:",
            disabled=fetch.running,
        ):  # fmt: skip
            fetch.start(offer.text)
            st.rerun()
        if fetch.running and st.button("Cancel", key=f"{key}_cancel", icon=":material/close:"):
            fetch.cancel()
            st.rerun()
    if fetch.running:
        what = "" if is_ours else f" {plain_text(fetch.source)} first"
        st.caption(f"Fetching{what} …")
    if is_ours and fetch.failed:
        st.error("The fetch did not work; the last line says why.", icon=":material/cloud_off:")
    elif not fetch.running and fetch.was_cancelled:
        st.caption("Cancelled; what has come is kept, and the next try goes on from there.")
    if is_ours and (lines := fetch.lines()):
        st.code("\n".join(lines[-6:]), language=None, wrap_lines=True)


def show_zoo(choose: Callable[[str], None]) -> None:
    """Offer the weights known by name, a group a field, each with its licence."""
    grouped: dict[str, list[ZooEntry]] = {title: [] for title in (*_GROUPS, _OTHERS)}
    for entry in ZOO.values():
        if entry.origin != "random":
            group = (title for title, start in _GROUPS.items() if entry.name.startswith(start))
            grouped[next(group, _OTHERS)].append(entry)
    for title, entries in grouped.items():
        _zoo_group(title, entries, choose)


def _zoo_group(title: str, entries: list[ZooEntry], choose: Callable[[str], None]) -> None:
    licences = {entry.license for entry in entries}
    key = f"zoo_{title.lower()}"
    about = {entry.name: _facts(entry, with_licence=len(licences) > 1) for entry in entries}

    def take() -> None:
        if name := st.session_state[key]:
            choose(name)
            st.session_state[key] = None

    st.selectbox(
        f"{title} · {licences.pop()}" if len(licences) == 1 else f"{title} · each its licence",
        [entry.name for entry in entries],
        index=None,
        key=key,
        format_func=lambda name: f"{name} · {about[name]}",
        placeholder="Choose to see what it is",
        on_change=take,
    )


def _facts(entry: ZooEntry, *, with_licence: bool) -> str:
    size = "here" if is_here(entry.name) else f"{(entry.size_bytes or 0) / 1e6:,.0f} MB"
    return f"{size} · {entry.license}" if with_licence else size


def take_link() -> None:
    """Take what the link says of how its weights are read, once."""
    session, params = st.session_state, st.query_params
    if session.get(_LINK_TAKEN) or "weights" not in params:
        return
    session[_LINK_TAKEN] = True
    try:
        reading = _reading(*(params.get(name, "") for name in _FIELDS))
    except UserError as error:
        session["weights_problem"] = str(error)
        return
    if reading.said:
        weights_menu.set_reading(params["weights"], reading, session)


def details(name: str, *, open_as: Callable[[str, Reading], None]) -> None:
    """Draw what can be said of weights whose tensors do not show it.

    Args:
        open_as: reads the weights of a name so from now on, or raises a `UserError`.
    """
    session = st.session_state
    reading = weights_menu.reading_of(name, session)
    if session.get(_FIELDS_OF) != name:
        session[_FIELDS_OF] = name
        for field, key in _FIELDS.items():
            value = getattr(reading, field)
            session[key] = value if field == "channels" or value is None else str(value)
    with st.expander("Details", icon=":material/tune:", expanded=bool(reading.said)):
        st.caption(f"How {plain_text(name)} is read, where the file does not say:")
        options: dict[str, Any] = {
            "on_change": _say,
            "args": (name, open_as),
            "persist_state": "session",
        }
        st.text_input(
            "Heads", key=_FIELDS["num_heads"], placeholder="as recorded, or width ÷ 64", **options
        )
        st.text_input(
            "Architecture", key=_FIELDS["arch"], placeholder="as the tensors show", **options,
            help="A name of timm's, such as vit_small_patch16_224.",
        )  # fmt: skip
        st.selectbox(
            "Channels", list(_CHANNELS), index=None, format_func=_CHANNELS.__getitem__,
            key=_FIELDS["channels"], placeholder="RGB", **options,
            help="How RGB is made of weights for another number of channels.",
        )  # fmt: skip
        st.text_input(
            "Network", key=_FIELDS["key"], placeholder="the teacher, or the only one", **options,
            help="Which one of a checkpoint that holds several: the name that the error lists.",
        )  # fmt: skip
        if problem := session.get(_PROBLEM, {}).get(name):
            show_error(problem)


def link_reading(name: str | None) -> None:
    """Write into the link how the weights that are shown are read."""
    reading = weights_menu.reading_of(name or "", st.session_state)
    for field in _FIELDS:
        value = getattr(reading, field)
        url.link(field, None if value is None else str(value))


def _say(name: str, open_as: Callable[[str, Reading], None]) -> None:
    """Read weights as the fields say from now on, or keep why they cannot be."""
    session = st.session_state
    session[_PROBLEM] = {}
    values = [str(session.get(key) or "") for key in _FIELDS.values()]
    try:
        open_as(name, _reading(*values))
    except UserError as error:
        session[_PROBLEM] = {name: str(error)}


def _reading(heads: str, arch: str, channels: str, key: str) -> Reading:
    heads = heads.strip()
    if heads and not (heads.isascii() and heads.isdigit() and 0 < int(heads[:6]) < 1000):
        raise WeightsError(f"heads is {heads[:20]!r}; expected a number such as 6")
    if channels and channels not in _CHANNELS:
        raise WeightsError(f"channels is {channels[:20]!r}; expected mean or first")
    return Reading(
        num_heads=int(heads) if heads else None,
        arch=arch.strip() or None,
        channels=channels or None,
        key=key.strip() or None,
    )
