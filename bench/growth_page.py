"""Write the page's sections beside the table: levers of a step, how cost grows, and beyond one machine."""

from collections.abc import Mapping
from typing import Any

from bench.markdown import table
from dino.evaluation.summary.contents import Lines, Series
from dino.evaluation.summary.svg import svg_file

TITLES = {
    "levers": "Levers of a training step, each undone by itself",
    "growth": "How cost grows",
    "processes": "Beyond one machine",
}
_TITLE = "Speed: how cost grows with the image's side and the batch"


def sections(found: Mapping[str, Any]) -> list[str]:
    """Write the Markdown of each section."""
    written = {"levers": _levers, "growth": _growth, "processes": _processes}
    parts = []
    for name, title in TITLES.items():
        if name not in found:
            parts.append(f"## {title}\n\nNot measured yet.\n")
        elif found[name]["status"] != "measured":
            parts.append(f"## {title}\n\n{found[name]['status']}: {found[name]['reason']}.\n")
        else:
            parts.append(f"## {title}\n\n{written[name](found[name])}")
    return parts


def _levers(found: Mapping[str, Any]) -> str:
    rows = [
        (
            "nothing" if row["way"] == "everything" else row["way"],
            row["undone"] or "–",
            f"{row['median']:.4g} s",
            f"{row['spread']:.0%}",
            f"{row['slower']:.2f}×",
        )
        for row in sorted(found["rows"], key=lambda row: -row["slower"])
    ]
    head = f"{found['what']}; in turns. How much slower a step is without one of them.\n"
    return "\n".join([head, *table(("without", "instead", "step", "spread", "slower"), rows), ""])


def _growth(found: Mapping[str, Any]) -> str:
    lines = [
        "![Seconds and memory against side and batch, ours beside plain](speed.svg)\n",
        f"Maps of ViT-S/16, CPU, {found['precision']} for ours, one image where the side grows and "
        f"{found['batch_side']} px where the batch does; memory is what a forward takes beyond network and "
        "image, in a process of its own. Exponents are fitted to log–log by least squares over "
        "all sides (n: tokens; time and memory as n to that power; plain grows towards 2).\n",
    ]
    powers = [
        (way, *(_power(found_powers.get(name)) for name in ("time", "memory", "batch")))
        for way, found_powers in found["exponents"].items()
    ]
    points = [
        (
            point["way"],
            f"{point['side']} px",
            point["batch"],
            f"{point['seconds']:.3g} s",
            f"{point['bytes'] / 1e6:.0f} MB",
        )
        for point in found["points"]
    ]
    lines += table(("way", "time by tokens", "memory by tokens", "time by batch"), powers)
    lines += ["", *table(("way", "side", "batch", "time", "memory"), points)]
    return "\n".join([*lines, ""])


def _power(exponent: float | None) -> str:
    return "–" if exponent is None else f"n^{exponent:.2f}"


def _processes(found: Mapping[str, Any]) -> str:
    rows = [
        (
            row["processes"],
            f"{row['images_per_s']:.3g}",
            f"{row['bytes'] / 1e6:.1f} MB",
            row["how"],
        )
        for row in found["rows"]
    ]
    titles = ("processes", "images/s", "bytes all-reduced a step and process", "")
    notes = [f"{note}\n" for note in found["notes"]]
    return "\n".join([f"{found['what']}\n", *table(titles, rows), "", *notes])


def picture(found: Mapping[str, Any]) -> str:
    """Draw three charts as one SVG."""
    points = found["points"]
    ways = list(dict.fromkeys(point["way"] for point in points))

    def series(x: str, y: str, scale: float, fixed: tuple[str, int]) -> tuple[Series, ...]:
        lines = []
        for style, way in enumerate(ways):
            own = [p for p in points if p["way"] == way and p[fixed[0]] == fixed[1]]
            places = sorted((float(p[x]), p[y] / scale) for p in own)
            if places:
                lines.append(Series(way, tuple(places), style))
        return tuple(lines)

    summary = "; ".join(
        f"{way}: time n^{powers['time']:.2f}" for way, powers in found["exponents"].items()
    )
    side = ("side", found["batch_side"])
    charts = [
        Lines("Time by side", summary, "side, px", "s", series("side", "seconds", 1, ("batch", 1))),
        Lines(
            "Memory by side", summary, "side, px", "MB", series("side", "bytes", 1e6, ("batch", 1))
        ),
        Lines("Time by batch", summary, "images", "s", series("batch", "seconds", 1, side)),
    ]
    return svg_file(charts, _TITLE)
