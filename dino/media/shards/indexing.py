"""The index of shards: which files a pattern names, and where each sample's image lies, and its class.

One pass over tar headers; no payload is read but labels. The index may be kept for the next time.
"""

import glob
import hashlib
import json
import os
import re
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dino.errors import UserError
from dino.media.images import IMAGE_SUFFIXES
from dino.system.files import open_atomically, parse_json

_CACHE_VERSION = 1
_MAX_SHARDS = 100_000
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)(?:\.\.(\d+))?|([^{}]*,[^{}]*))\}")
# Arrays of the index; "about" is JSON of what no column holds.
COLUMNS = ("shard", "code", "offset", "size", "name_end", "names", "about")
_MAX_LABEL_BYTES = 2**20  # a larger .cls or .json holds something else
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


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


def cached_index(shards: Sequence[Path], cache: Path) -> dict[str, np.ndarray]:
    """Take the index from the cache folder; make it and keep it there if it is not there or damaged.

    Where nothing can be written, the index is made all the same: what is lost is time.
    """
    facts = [(str(path.absolute()), path.stat()) for path in shards]
    key = json.dumps([_CACHE_VERSION, [(p, s.st_size, s.st_mtime_ns) for p, s in facts]])
    path = cache / f"shards-{hashlib.sha256(key.encode()).hexdigest()}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in COLUMNS}
    except Exception:  # absent, or damaged: zip, zlib and numpy raise about as many types
        columns = build_index(shards)
    with suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        with open_atomically(path) as file:
            np.savez(file, allow_pickle=False, **columns)
    return columns


@dataclass
class _Sample:
    key: str
    extensions: set[str] = field(default_factory=set)
    image: tarfile.TarInfo | None = None
    label: str | None = None


class _Builder:
    """The index as it grows, in flat arrays: objects would take ten times as much."""

    def __init__(self, shards: Sequence[Path]) -> None:
        self.shards = shards
        self.shard, self.code = array("i"), array("i")
        self.offset, self.size, self.name_end = array("q"), array("q"), array("q")
        self.names = bytearray()
        self.texts: dict[str, int] = {}
        self.problems: list[str] = []
        self.without_image = 0
        self.labelled = True  # until a sample has no class

    def scan(self, shard: int) -> None:
        """Add the samples of one tar."""
        path, sample = self.shards[shard], None
        with path.open("rb", buffering=4096) as file:  # some file systems would buffer megabytes
            _refuse_compressed(path, file)
            try:
                for member in _members(file):
                    key, extension = _split(member.name)
                    if not extension or not member.isreg() or member.sparse is not None:
                        continue
                    if sample is None or key != sample.key:
                        self.add(shard, sample)
                        sample = _Sample(key)
                    self._put(sample, extension, member, file)
            except tarfile.ReadError as error:
                self.problems.append(f"{path.name} is {error}; the samples before it are used")
                if sample and (not sample.image or (self.labelled and not sample.label)):
                    sample = None  # what it lacks may be what was lost
        self.add(shard, sample)

    def _put(
        self, sample: _Sample, extension: str, member: tarfile.TarInfo, file: BinaryIO
    ) -> None:
        if extension in sample.extensions:
            return  # the first counts
        sample.extensions.add(extension)
        if f".{extension}" in IMAGE_SUFFIXES:
            sample.image = sample.image or member
        elif not self.labelled or member.size > _MAX_LABEL_BYTES:
            return
        elif extension == "cls" or (extension == "json" and sample.label is None):
            file.seek(member.offset_data)
            sample.label = _label(extension, file.read(member.size)) or sample.label

    def add(self, shard: int, sample: _Sample | None) -> None:
        """Note a sample that is complete."""
        if sample is None or sample.image is None:
            self.without_image += sample is not None
            return
        if self.labelled and sample.label is None:
            if self.code:
                name = f"{sample.image.name!r} of {self.shards[shard].name}"
                self.problems.append(f"{name} has no class, so those of the others are not used")
            self.labelled, self.code, self.texts = False, array("i"), {}
        elif self.labelled and sample.label is not None:
            self.code.append(self.texts.setdefault(sample.label, len(self.texts)))
        self.names += sample.image.name.encode(errors="surrogateescape")
        self.name_end.append(len(self.names))
        self.shard.append(shard)
        self.offset.append(sample.image.offset_data)
        self.size.append(sample.image.size)

    def columns(self) -> dict[str, np.ndarray]:
        """Gather the arrays of the index; "about" is JSON of the rest."""
        about = {
            "texts": list(self.texts),
            "problems": self.problems,
            "without_image": self.without_image,
        }
        columns = {name: np.array(getattr(self, name)) for name in COLUMNS if name != "about"}
        return {**columns, "about": np.array(bytearray(json.dumps(about).encode()))}


def build_index(shards: Sequence[Path]) -> dict[str, np.ndarray]:
    """Read the `COLUMNS` of shards, by one pass over their headers."""
    builder = _Builder(shards)
    for number, path in enumerate(shards):
        try:
            builder.scan(number)
        except OSError as error:
            raise UserError(
                f"{path}: got a shard that cannot be read ({error.strerror or error}), expected one "
                "that can; check its permissions and its disk"
            ) from error
    return builder.columns()


def _members(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Read the members whose content is whole, up to the end of the tar.

    Raises:
        tarfile.ReadError: "damaged at byte …"; tarfile itself takes most damage for the end.
    """
    length, position = os.fstat(file.fileno()).st_size, 0
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            while member := tar.next():
                tar.members.clear()  # type: ignore[attr-defined] # it would keep all of them
                if tar.offset <= member.offset:  # a negative size would lead round in circles
                    raise tarfile.ReadError("a size below zero")
                if member.isreg() and not 0 <= member.size <= length - member.offset_data:
                    raise tarfile.ReadError("cut short")
                position = tar.offset
                yield member
        file.seek(position)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("neither a member nor the end mark follows")
    except OSError:
        raise
    except Exception as error:  # damaged headers make tarfile raise about a dozen types
        raise tarfile.ReadError(f"damaged at byte {position:,} of {length:,} ({error})") from error


def _refuse_compressed(path: Path, file: BinaryIO) -> None:
    start = file.read(10)
    file.seek(0)
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise UserError(
                f"{path}: got a tar compressed with {kind}, expected an uncompressed one, whose "
                "samples can be read in any order; decompress it first"
            )


def _split(name: str) -> tuple[str, str]:
    """Split a name into WebDataset's key and extension; no extension for names outside its rule and its own notes."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or re.match(r"__[^/]*__($|/)", name):
        return "", ""
    return folder + slash + stem, extension.lower()


def _label(extension: str, content: bytes) -> str | None:
    """Read the class in a .cls or .json member, as text; None where there is none."""
    text = content.decode(errors="surrogateescape")
    if extension == "json":
        try:
            values = parse_json(text)
        except ValueError:
            return None
        value = values.get("label", values.get("class")) if isinstance(values, dict) else None
        text = str(value) if type(value) in (int, str) else ""
    return text.strip() or None
