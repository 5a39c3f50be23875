"""The photo under the pointer, beside a Plotly chart: thumbnails cut from sheets the browser fetches
when it needs them, so that the chart holds points only."""

from collections.abc import Sequence

from app.components.registration import register

# Thumbnails a side of a sheet.
SHEET_COLUMNS = 10

_component = register("dino_hover", __file__)


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
