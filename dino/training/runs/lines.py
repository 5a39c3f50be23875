"""The lines of metrics.jsonl and probes.jsonl: numbers by name, each line with a sum of its own.

A crash leaves half a line, and a disk may flip a bit. A line that is not what was written is left out
and counted, rather than drawn as a loss that never was. Lines without a sum, of earlier versions, are
taken as they are.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dino.system.files import parse_json

_SUM = "crc32"
_FILM = "film"  # paths, beside the numbers of a probe


@dataclass(frozen=True)
class Lines:
    """The whole `lines` of a file, and how many were `damaged`."""

    lines: list[dict[str, Any]]
    damaged: int


def format_line(values: Mapping[str, Any]) -> str:
    """A line to append, with its sum and its end."""
    return json.dumps({**values, _SUM: _sum_of(values)}) + "\n"


def parse_line(text: bytes | str) -> dict[str, Any] | None:
    """The values of a line; None where it is not whole."""
    try:
        line = parse_json(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or type(line.get("step")) is not int:
        return None
    told = line.pop(_SUM, None)
    numbers = (value for name, value in line.items() if name != _FILM)
    if not all(value is None or isinstance(value, int | float) for value in numbers):
        return None
    return line if told is None or told == _sum_of(line) else None


def read_lines(path: Path) -> Lines:
    """All lines of a file; none where there is no file."""
    texts = path.read_bytes().split(b"\n") if path.exists() else []
    parsed = [parse_line(text) for text in texts if text.strip()]
    whole = [line for line in parsed if line is not None]
    return Lines(whole, len(parsed) - len(whole))


def _sum_of(values: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(values).encode())
