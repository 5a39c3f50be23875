"""Edits of files at random, for the tests that damage them: of bytes, inside archives, and of JSON."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

# What may stand where something else belongs.
_ODD: tuple[Any, ...] = (
    None, True, "", "x" * 300, "../..", "\0", -1, 0, 7, 2**63, 10**30, 1e308, float("nan"), [], {},
    [[]], [1, "2"], {"step": {}},
)  # fmt: skip


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """Make one to eight edits: bytes changed, put in, taken out or doubled, half of them near the start; one
    in ten files is cut short as well."""
    edited = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        reach = max(1, min(len(edited), 200) if rng.random() < 0.5 else len(edited))
        place = rng.randrange(reach)
        kind = rng.randrange(5)
        if kind == 0:
            edited[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1 and place < len(edited):
            edited[place] ^= 1 << rng.randrange(8)
        elif kind == 2:
            edited[place:place] = rng.randbytes(rng.randint(1, 8))
        elif kind == 3:
            del edited[place : place + rng.randint(1, 8)]
        else:
            edited[place:place] = edited[place : place + rng.randint(1, 64)]
    return bytes(edited[: rng.randrange(len(edited) + 1)] if rng.random() < 0.1 else edited)


def of_json(data: bytes, rng: random.Random) -> bytes:
    """Replace one value anywhere in a line of JSON, or in all of it, by something else, or take it out."""
    text = data.decode()
    try:
        return json.dumps(_other_value(json.loads(text), rng)).encode()
    except ValueError:  # a file of lines
        lines = text.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(_other_value(json.loads(lines[at]), rng))
        return "\n".join(lines).encode()


def deep_json(data: bytes, rng: random.Random) -> bytes:
    """Make JSON nested deeper than a parser that calls itself can follow."""
    return b"[" * 100_000 if rng.random() < 0.5 else b'{"a":' * 100_000


def inside_zip(edit: Callable[[bytes, random.Random], bytes]) -> Callable[..., bytes]:
    """Make an edit of one member, in an archive whose sums are right again."""

    def edited(data: bytes, rng: random.Random) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
            names = old.namelist()
            changed = rng.choice(names)
            for name in names:
                member = old.read(name)
                new.writestr(name, edit(member, rng) if name == changed else member)
        return packed.getvalue()

    return edited


def of_safetensors_header(data: bytes, rng: random.Random) -> bytes:
    """Put other values into the header of a safetensors file, its length right again."""
    length = int.from_bytes(data[:8], "little")
    header = of_json(data[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _other_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _other_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [*value[:at], _other_value(value[at], rng), *value[at + 1 :]]
    return rng.choice(_ODD)
