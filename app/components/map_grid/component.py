"""Many small maps in rows and columns, each a button: one picture cut by the browser, so that a
network of hundreds of heads is one download."""

import base64
from collections.abc import Callable, Sequence

import streamlit as st

_CSS = """
:host, div, button { font: 0.78rem/1.2 var(--st-font); color: var(--st-text-color); }
#scroll { overflow-x: auto; padding: 3px; }
#grid { display: grid; gap: 3px; align-items: center; min-width: min-content; }
#grid span { opacity: 0.75; text-align: center; white-space: nowrap; padding: 0 0.15rem; }
#grid button { padding: 0; border: 0; border-radius: 3px; cursor: pointer; min-width: 34px; width: 100%;
  background-repeat: no-repeat; }
#grid button:hover { outline: 2px solid var(--st-text-color); }
#grid button:focus-visible { outline: 3px solid var(--st-primary-color); }
#grid button[aria-pressed="true"] { outline: 3px solid #ff8c00; }
"""

_JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector("#grid");
  const rows = data.rows.length, columns = data.columns.length;
  const part = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0);
  const had = grid.contains(parentElement.activeElement ?? null) ? parentElement.activeElement : null;
  const focused = had ? Number(had.dataset.index) : -1;
  grid.style.gridTemplateColumns = `max-content repeat(${columns}, minmax(34px, 130px))`;
  grid.setAttribute("aria-label", data.label);
  const label = (text) => Object.assign(document.createElement("span"), { textContent: text });
  const buttons = [];
  const cells = [label("")];
  data.columns.forEach((name) => cells.push(label(name)));
  data.rows.forEach((name, row) => {
    cells.push(label(name));
    data.columns.forEach((column, index) => {
      const button = document.createElement("button");
      const chosen = row === data.chosen[0] && index === data.chosen[1];
      button.dataset.index = buttons.length;
      button.style.backgroundImage = `url(${data.sprite})`;
      button.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
      button.style.backgroundPosition = `${part(index, columns)}% ${part(row, rows)}%`;
      button.style.aspectRatio = data.aspect;
      button.title = data.titles[row][index];
      button.setAttribute("aria-label", data.titles[row][index]);
      button.setAttribute("aria-pressed", chosen);
      button.onclick = () => setTriggerValue("chosen", [row, index]);
      buttons.push(button);
      cells.push(button);
    });
  });
  // One tab stop; arrow keys go from map to map.
  const start = focused >= 0 ? focused : Math.max(0, data.chosen[0] * columns + Math.max(0, data.chosen[1]));
  buttons.forEach((button, index) => (button.tabIndex = index === start ? 0 : -1));
  const steps = { ArrowUp: -columns, ArrowDown: columns, ArrowLeft: -1, ArrowRight: 1 };
  grid.onkeydown = (event) => {
    const index = Number(event.target.dataset.index);
    const next = buttons[index + steps[event.key]];
    if (!(event.key in steps) || !next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
  grid.replaceChildren(...cells);
  if (focused >= 0) buttons[focused]?.focus();
}
"""

_component = st.components.v2.component(
    "dino_map_grid",
    html='<div id="scroll"><div id="grid" role="group"></div></div>',
    css=_CSS,
    js=_JS,
)


def map_grid(
    key: str,
    *,
    sprite: bytes,
    rows: Sequence[str],
    columns: Sequence[str],
    titles: Sequence[Sequence[str]],
    chosen: tuple[int, int],
    aspect: float,
    label: str,
    on_choose: Callable[[int, int], None],
) -> None:
    """Draw maps and call `on_choose(row, column)` before the run that follows a choice.

    Args:
        sprite: JPEG of all maps without gaps, `rows` down and `columns` across.
        titles: a name for each map, [rows][columns].
        chosen: (row, column) to outline; -1 for none.
        aspect: width by height of one map.
    """

    def changed() -> None:
        place = st.session_state[key].chosen
        try:
            row, column = (int(index) for index in place)
        except (TypeError, ValueError):
            return  # not from our own script; nothing to tell a user
        if 0 <= row < len(rows) and 0 <= column < len(columns):
            on_choose(row, column)

    data = {
        "sprite": "data:image/jpeg;base64," + base64.b64encode(sprite).decode(),
        "rows": list(rows),
        "columns": list(columns),
        "titles": [list(names) for names in titles],
        "chosen": list(chosen),
        "aspect": aspect,
        "label": label,
    }
    _component(key=key, data=data, on_chosen_change=changed)
