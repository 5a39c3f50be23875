"""What was pointed at as a part of a URL: "12:7:+,3:4:-,b2:1:9:8,p21:28:120_3+77_4-|5:5:+".

Objects stand between bars: points (row:column:sign), a box (b, top:left:bottom:right) and what was
painted (p, rows:columns: of the grid, then patches in runs, each with its sign or _ for none).
"""

import re

from app.components.canvas.component import Prompts
from dino.media.regions import LabelRuns, check_label_runs

MOST_OBJECTS = 8
_SIGNS = "_+-"  # of the labels of paint
_POINT = re.compile(r"(\d{1,3}):(\d{1,3}):([+-])")
_BOX = re.compile(r"b(\d{1,3}):(\d{1,3}):(\d{1,3}):(\d{1,3})")
_PAINTED = re.compile(r"p(\d{1,3}):(\d{1,3}):((?:\d{1,6}[_+-])+)")
_RUN = re.compile(r"(\d+)([_+-])")


def link(objects: list[Prompts], grid: tuple[int, int]) -> str:
    """The objects, pointed at on a grid (h, w) of patches, as text."""
    parts = []
    for one in objects:
        words = [f"{row}:{column}:{'+' if sign > 0 else '-'}" for row, column, sign in one.points]
        words += ["b" + ":".join(map(str, one.box))] if one.box else []
        if one.painted:
            runs = zip(one.painted[::2], one.painted[1::2], strict=True)
            text = "".join(f"{count}{_SIGNS[label]}" for count, label in runs)
            words.append(f"p{grid[0]}:{grid[1]}:{text}")
        parts.append(",".join(words))
    return "|".join(parts)


def read_link(text: str, grid: tuple[int, int]) -> list[Prompts]:
    """The objects of a `link`; what is not readable in it, or was painted on another grid, is left out.
    One empty object at least."""
    objects = []
    for part in text.split("|")[:MOST_OBJECTS]:
        words = part.split(",")
        points = [
            (int(m[1]), int(m[2]), 1 if m[3] == "+" else -1)
            for m in map(_POINT.fullmatch, words)
            if m
        ]
        boxes = [m for m in map(_BOX.fullmatch, words) if m]
        box = tuple(int(value) for value in boxes[0].groups()) if boxes else None
        painted = next((runs for runs in (_painted(word, grid) for word in words) if runs), ())
        objects.append(Prompts(tuple(points), box, painted))  # type: ignore[arg-type]
    return objects


def _painted(word: str, grid: tuple[int, int]) -> LabelRuns:
    found = _PAINTED.fullmatch(word)
    if not found or (int(found[1]), int(found[2])) != grid:
        return ()
    runs = [(int(count), _SIGNS.index(sign)) for count, sign in _RUN.findall(found[3])]
    try:
        return check_label_runs([value for run in runs for value in run], grid, len(_SIGNS) - 1)
    except ValueError:
        return ()
