"""Keep how the Attention page draws its maps: in the session, and in the link with a version.

A link of version 2 names what differs from `Look()`. One without a version was made when maps were drawn in
another way, and draws what it drew then (`FORMER`), until something of it is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import streamlit as st

from app.state.url import link, seeded
from dino.attention.files import Style
from dino.canvas.look import FORMER, Look, read_look
from dino.errors import UserError

# Not "look", which is what the Compare page shows.
_VERSION, _LOOK = "link_version", "map_look"
NOW, BEFORE = "2", "1"
# What links name; the head goes by itself, since clicks elsewhere on the page set it too.
_INTERPOLATIONS = {
    "bicubic": "bicubic",
    "patches": "nearest",
    "sharp": "guided",
    "bilinear": "bilinear",
}
# Pages whose links say nothing of how maps are drawn.
_WITHOUT_LOOK = frozenset(
    [
        "learn",
        "masks",
        "annotate",
        "features",
        "correspondence",
        "video",
        "gallery",
        "evolution",
        "evaluation",
        "training",
    ]
)
_BOOLEANS = ("true", "false")
_PARAMS = ("scale", "smooth", "colours", "opacity", "greys", "outline", "fill", "side", "compare")


def settle_version() -> None:
    """Decide, before anything is read of the link, what links of this session mean; keep it in the link."""
    if _VERSION not in st.session_state:
        st.session_state[_VERSION] = version_of(st.query_params.to_dict(), st.context.url)
    link("v", NOW if st.session_state[_VERSION] == NOW else None)


def version_of(params: Mapping[str, str], address: str | None) -> str:
    """Tell which version a link is of: one without parameters, or to a page that draws no maps by a look,
    asks for nothing of before."""
    page = urlsplit(address or "").path.rstrip("/").rpartition("/")[2]
    others = page in _WITHOUT_LOOK
    return NOW if not params or others or params.get("v") == NOW else BEFORE


def default() -> Look:
    """Return the look of pages that do not let it be chosen: that of the link's version."""
    return Look() if st.session_state.get(_VERSION, NOW) == NOW else FORMER


def current(heads: Sequence[str]) -> Look:
    """Return the session's look, at first that of the link, with a head that there is."""
    if _LOOK not in st.session_state:
        version = st.session_state.get(_VERSION, NOW)
        st.session_state[_LOOK] = read_params(st.query_params.to_dict(), version)
    head = seeded("head", "mean")
    if head not in heads:
        head = st.session_state["head"] = "mean"
    return replace(st.session_state[_LOOK], head=head)


def keep(look: Look) -> None:
    """Take a look that was chosen; from then on links have the newest version."""
    st.session_state["head"] = look.head
    look = replace(look, head="mean")
    if look != st.session_state.get(_LOOK):
        st.session_state[_LOOK] = look
        st.session_state[_VERSION] = NOW


def write_link(look: Look) -> None:
    """Write the look into the link; an old link keeps its own words while nothing of it was changed."""
    link("head", look.head, "mean")
    if st.session_state.get(_VERSION, NOW) == NOW:
        link("v", NOW)
        words = params_of(look)
        for name in _PARAMS:
            link(name, words.get(name))


def params_of(look: Look) -> dict[str, str]:
    """Name what differs from the default look, as links of version 2 do."""
    default, words = Look(), {}
    for name in ("scale", "smooth", "colours", "opacity", "outline"):
        value = getattr(look, name)
        if value != getattr(default, name):
            words[name] = f"{value:g}" if isinstance(value, float) else str(value)
    for name in ("greys", "fill"):
        if getattr(look, name) != getattr(default, name):
            words[name] = str(getattr(look, name)).lower()
    beside = {"wipe": "compare", "side": "side"}.get(look.beside)
    return words | ({beside: "true"} if beside else {})


def read_params(params: Mapping[str, str], version: str) -> Look:
    """Read a link's look; what it says that is not offered stays as it is by default."""
    former = version != NOW
    look = FORMER if former else Look()
    for name, value in _values(params, former=former).items():
        try:
            look = read_look({name: value}, ["mean"], look)
        except UserError:
            continue
    return look


def _values(params: Mapping[str, str], *, former: bool) -> dict[str, object]:
    """Turn a link's words into values, which are still to be checked."""
    found: dict[str, object] = {}
    if "colours" in params:
        found["colours"] = params["colours"]
    if "opacity" in params:
        found["opacity"] = _number(params["opacity"])
    if former:
        if params.get("smooth") == "true":
            found["smooth"] = "bilinear"
        if params.get("scale") == "shared":
            found["scale"] = "shared"
    else:
        found |= {name: params[name] for name in ("smooth", "scale") if name in params}
        found |= {n: params[n] == "true" for n in ("greys", "fill") if params.get(n) in _BOOLEANS}
        if params.get("outline", "").isdecimal():
            found["outline"] = int(params["outline"])
    for name, place in (("side", "side"), ("compare", "wipe")):
        if params.get(name) == "true":
            found["beside"] = place
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def style_of(look: Look) -> Style:
    """Say how Python draws pictures and files that look so."""
    return Style(
        colormap=look.colours,
        opacity=look.opacity,
        interpolation=_INTERPOLATIONS[look.smooth],
        shared_scale=look.scale == "shared",
        scale="robust" if look.scale == "robust" else "full",
        under="grey" if look.greys else "photo",
    )
