"""Numbers, durations, dates and paths as people read them."""

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
# The values of runs and reports that are in nats.
NATS = ("teacher_entropy", "batch_mean_entropy", "kl", "max_entropy")


def duration(seconds: float, digits: int = 0) -> str:
    """Say a length of time as people do: "20 s", "10 min", "2.0 h", "3.5 days".

    Args:
        digits: decimals of seconds and minutes; hours and days have one.
    """
    if seconds < 90:
        return f"{seconds:.{digits}f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.{digits}f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def bits(nats: float) -> float:
    """Turn an entropy or a KL in nats, as files of runs and reports hold them, into bits, as people read them."""
    return nats / math.log(2)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Put a count before its noun: "1 photo", "1,200 photos"; `plural` where that is more than an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def is_number(value: Any) -> bool:
    """Tell whether a value of a row can be drawn: a finite number, no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int | None = None) -> str:
    """Write a value as text: numbers with `digits` decimals, or four significant digits; – for nothing."""
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
    """Write any value of a report as text of one line, without this machine's folders."""
    if isinstance(value, list | tuple):
        return ", ".join(plain(part) for part in value) or NOTHING
    if isinstance(value, dict):
        return "; ".join(f"{plain(name)}: {plain(part)}" for name, part in value.items()) or NOTHING
    if value is None or isinstance(value, int | float):
        return number(value)
    return " ".join(without_folders(str(value)).split())


def place(path: Any) -> str:
    """Take the last two parts of a path: enough to know it again, and nobody's folders."""
    parts = [part for part in re.split(r"[/\\]+", str(path)) if part not in ("", ".")]
    return "/".join(parts[-_KEPT_PARTS:]) or NOTHING


def without_folders(text: str) -> str:
    """Cut absolute paths in a text down to their last two parts."""
    return _ABSOLUTE.sub(lambda match: place(match[0]), text)


def label(key: str) -> str:
    """Write a row's key as people read it: "num_images" → "num images"."""
    return key.replace("_", " ")


def day(date: str) -> str:
    """Write day and minute of a report's date, in the zone it was made in."""
    return datetime.fromisoformat(date).strftime("%Y-%m-%d %H:%M")


def short_digest(sha256: Any) -> str:
    """Take the first twelve characters of a digest; – where there is none."""
    return str(sha256)[:12] if sha256 else NOTHING
