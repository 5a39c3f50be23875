"""What the attention of each head became over the epochs, on a few photos."""

import re
from pathlib import Path

import streamlit as st

from app.text import plain_text
from dino.system.files import read_json

_EPOCH = re.compile(r"epoch-(\d+)$")


def show(run: Path) -> None:
    """A slider over epochs and a choice of photos; nothing where the run drew none."""
    strip = run / "filmstrip"
    epochs = sorted(int(m[1]) for p in strip.glob("epoch-*") if (m := _EPOCH.match(p.name)))
    photos = sorted(strip.glob("photo-*.png"), key=lambda p: int(p.stem.removeprefix("photo-")))
    if not epochs or not photos:
        return
    st.markdown("**Attention** :small[each head's map, over the epochs]")
    left, right = st.columns([1, 3], gap="medium")
    with left:
        number = _photo(run, len(photos))
        st.image(photos[number].read_bytes(), width="stretch", alt=_name(run, number))
    with right:
        epoch = _epoch(run, epochs)
        picture = strip / f"epoch-{epoch:04d}" / f"photo-{number}.png"
        if picture.exists():
            st.image(
                picture.read_bytes(),
                width="stretch",
                alt=f"Attention maps of all heads, side by side, at epoch {epoch}",
            )
        st.caption(f"Last block, from the first head to the last, at epoch {epoch}.")


def _photo(run: Path, count: int) -> int:
    key = f"train_film_photo_{run.name}"
    label = "Photo"
    options = [str(number + 1) for number in range(count)]
    return int(st.pills(label, options, default="1", key=key, required=True)) - 1


def _epoch(run: Path, epochs: list[int]) -> int:
    """The chosen epoch; the newest, as more of them come, until another is chosen."""
    chosen = f"train_film_chosen_{run.name}"
    key = f"train_film_epoch_{run.name}_{len(epochs)}"

    def note() -> None:
        epoch = st.session_state[key]
        st.session_state[chosen] = None if epoch == epochs[-1] else epoch

    shown = st.session_state.get(chosen)
    shown = shown if shown in epochs else epochs[-1]
    if len(epochs) == 1:
        return shown
    return st.select_slider("Epoch", epochs, value=shown, key=key, on_change=note)


def _name(run: Path, number: int) -> str:
    files = (read_json(run / "data.json") or {}).get("film") or []
    name = Path(files[number]).name if number < len(files) else f"photo {number + 1}"
    return plain_text(f"The photo {name}, as the network sees it")
