"""Shard files of a folder, a glob, or a WebDataset brace range."""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from dino.errors import UserError

_MAX_SHARDS = 100_000
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)(?:\.\.(\d+))?|([^{}]*,[^{}]*))\}")


def expand_braces(pattern: str) -> list[str]:
    """List the names that a pattern such as "{a,b}-{08..10}.tar" stands for, sorted, each once.

    Raises:
        UserError: more than 100,000.
    """
    done, todo = set(), [pattern]
    while todo:
        name = todo.pop()
        if not (match := _BRACES.search(name)):
            done.add(name)
            continue
        first, last, step, words = match.groups()
        choices: Sequence[object] = words.split(",") if words else ()
        if not words:
            sign = 1 if int(first) <= int(last) else -1
            choices = range(int(first), int(last) + sign, sign * max(1, int(step or 1)))
        if len(done) + len(todo) + len(choices) > _MAX_SHARDS:
            raise UserError(
                f"{pattern}: got more than {_MAX_SHARDS:,} names, expected fewer; shorten the range"
            )
        padded = not words and any(len(end) > 1 and end[0] == "0" for end in (first, last))
        width = max(len(first), len(last)) if padded else 0
        head, tail = name[: match.start()], name[match.end() :]
        todo += [f"{head}{str(choice).rjust(width, '0')}{tail}" for choice in choices]
    return sorted(done)


def find_shards(pattern: str) -> tuple[Path, ...]:
    """Find the files a pattern names, sorted, each once."""
    names = [pattern] if os.path.exists(pattern) else expand_braces(pattern)
    found, missing = set(), []
    for name in names:
        wild = os.path.join(glob.escape(name), "*.tar") if os.path.isdir(name) else name
        matches = [name] if os.path.isfile(name) else glob.glob(wild, recursive=True)
        files = [match for match in matches if os.path.isfile(match)]
        found.update(files)
        missing += [] if files else [name]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise UserError(
            f"{pattern}: got no .tar at {', '.join(missing[:10])}{more} ({len(missing)} of "
            f"{len(names)}), expected uncompressed shards; fetch them or correct the name"
        )
    return tuple(map(Path, sorted(found)))
