"""The photo under the pointer, beside a Plotly chart: thumbnails cut from sheets the browser fetches
when it needs them, so that the chart holds points only."""

from collections.abc import Sequence

import streamlit as st

# Thumbnails a side of a sheet.
SHEET_COLUMNS = 10

_JS = """
export default function ({ parentElement, data }) {
  const picture = parentElement.querySelector("#picture");
  const name = parentElement.querySelector("#name");
  const perSheet = data.columns * data.columns;
  let chart = null;
  const show = (event) => {
    const row = event.points?.[0]?.customdata;
    const sheet = data.sheets[Math.floor(row / perSheet)];
    if (row === undefined || sheet === undefined) return;
    const cell = row % perSheet, last = data.columns - 1;
    picture.style.backgroundImage = `url("${sheet}")`;
    picture.style.backgroundSize = `${data.columns * 100}%`;
    picture.style.backgroundPosition =
      `${(100 * (cell % data.columns)) / last}% ${(100 * Math.floor(cell / data.columns)) / last}%`;
    picture.setAttribute("aria-label", data.names[row]);
    name.textContent = data.names[row];
  };
  // The chart may be drawn after this, and drawn anew.
  const attach = () => {
    const found = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
    if (!found?.on || found === chart) return;
    chart?.removeListener?.("plotly_hover", show);
    chart = found;
    chart.on("plotly_hover", show);
    parentElement.querySelector("#root").dataset.attached = "true";
  };
  attach();
  const timer = setInterval(attach, 400);
  return () => {
    clearInterval(timer);
    chart?.removeListener?.("plotly_hover", show);
  };
}
"""

_component = st.components.v2.component(
    "dino_hover",
    html='<div id="root"><div id="picture" role="img" aria-label="no photo yet"></div>'
    '<div id="name">Point at a photo to see it.</div></div>',
    css="#root { display: flex; flex-flow: row wrap; gap: 6px }"
    "#picture { flex: 0 0 min(100%, 192px); aspect-ratio: 1; border-radius: 6px;"
    " background-color: var(--st-secondary-background-color) }"
    "@media (max-width: 640px) { #root { flex-wrap: nowrap } #picture { flex-basis: 96px } }"
    "#name { font: 0.85rem var(--st-font); color: var(--st-text-color); opacity: 0.8;"
    " overflow-wrap: anywhere; padding-top: 4px; min-height: 2.6em }",
    js=_JS,
)


def hovered_photo(key: str, *, chart: str, sheets: Sequence[str], names: Sequence[str]) -> None:
    """Show the thumbnail of the point that is hovered in the chart of key `chart`.

    Args:
        sheets: addresses of pictures of `SHEET_COLUMNS`² square thumbnails each, row by row.
        names: of the photos; a point's `customdata` is its row in them.
    """
    data = {
        "chart": chart,
        "columns": SHEET_COLUMNS,
        "sheets": list(sheets),
        "names": list(names),
    }
    _component(key=key, data=data)
