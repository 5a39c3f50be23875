"""Numbers, durations and dates as people read them."""

import math
import re
from datetime import datetime
from typing import Any

NOTHING = "–"
# Folders of this machine in a text: an absolute path of at least two parts, or a drive's.
_ABSOLUTE = re.compile(
    r"(?<![\w.~/\\])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:,;()<>\"']+[/\\])+[^\s/\\:,;()<>\"']*"
)
_KEPT_PARTS = 2


def in_words(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def is_number(value: Any) -> bool:
    """Whether a value of a row can be drawn: a finite number, no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int | None = None) -> str:
    """A value as text: numbers with so many decimals, or four significant digits; – for nothing."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and digits is None:
        return f"{value:,}"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return NOTHING if math.isnan(value) else ("∞" if value > 0 else "−∞")
        text = f"{value:.4g}" if digits is None else f"{value:.{digits}f}"
        return text.replace("-", "−", 1) if value < 0 else text
    return plain(value)


def plain(value: Any) -> str:
    """Any value of a report as text of one line, without this machine's folders."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value) or NOTHING
    if isinstance(value, dict):
        return "; ".join(f"{plain(name)}: {plain(part)}" for name, part in value.items()) or NOTHING
    if value is None or isinstance(value, int | float):
        return number(value)
    return " ".join(without_folders(str(value)).split())


def place(path: Any) -> str:
    """The last two parts of a path: enough to know it again, and nobody's folders."""
    parts = [part for part in re.split(r"[/\\]+", str(path)) if part not in ("", ".")]
    return "/".join(parts[-_KEPT_PARTS:]) or NOTHING


def without_folders(text: str) -> str:
    """A text whose absolute paths have lost all but their last two parts."""
    return _ABSOLUTE.sub(lambda match: place(match[0]), text)


def label(key: str) -> str:
    """A row's key as people read it: "num_images" → "num images"."""
    return key.replace("_", " ")


def day(date: str) -> str:
    """Day and minute of a report's date, in the zone it was made in."""
    return datetime.fromisoformat(date).strftime("%Y-%m-%d %H:%M")


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def short_digest(sha256: Any) -> str:
    """The first twelve characters of a digest; – where there is none."""
    return str(sha256)[:12] if sha256 else NOTHING
