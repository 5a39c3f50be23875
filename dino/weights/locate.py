"""Find the backbone in a checkpoint: which dict, which key prefix, whose network (teacher, student).

A checkpoint is a dict of tensors, or dicts of dicts beside optimizer state and settings. A backbone is
where keys end in names that only a backbone has (`naming/`). Where there are two, the names on the way
say which is the teacher and which the student; where they do not, nothing is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dino.errors import WeightsError
from dino.weights.naming.nearest import nearest_layout
from dino.weights.naming.others import seems
from dino.weights.naming.table import BY_FAMILY, LAYOUTS

# What PyTorch's wrappers put inside names, at any depth.
_WRAPPED = re.compile(
    r"(?:^|(?<=\.))(_fsdp_wrapped_module|_orig_mod|_checkpoint_wrapped_module|_forward_module)\."
)
# Words in names of containers and prefixes that say whose network it is. An average over the steps
# (EMA, "target", "shadow", "momentum") is what DINO calls the teacher.
_TEACHER_WORDS = frozenset(
    {"teacher", "momentum", "ema", "target", "shadow", "averaged", "swa", "slow"}
)
_STUDENT_WORDS = frozenset({"student", "online"})
_TEACHER_END, _STUDENT_END = re.compile(r"(_k|key_encoder)$"), re.compile(r"(_q|query_encoder)$")
# Parts that stand beside a backbone in one state dict and are no part of it.
_SIBLING = re.compile(
    r"head|project|predict|prototype|classifier|criterion|loss|decod|pooler|queue|center|"
    r"mask_token|^fc$|^text|neck"
)
_SKIPPED = ("optim", "lr_sched", "scaler", "args", "hyper_parameters")
_MAX_DEPTH = 6


@dataclass(frozen=True)
class FoundBackbone:
    """One backbone: in the dict at `path`, its keys begin with `prefix` ("" or ending in a dot)."""

    family: str
    path: tuple[str, ...]
    prefix: str
    state: Mapping[str, Any]

    @property
    def words(self) -> tuple[str, ...]:
        """List containers and prefix parts on the way to the backbone."""
        return (*self.path, *(part for part in self.prefix.split(".") if part))

    @property
    def role(self) -> str | None:
        """Say "teacher" or "student", or None where the checkpoint does not."""
        parts = {p.lower() for word in self.words for p in re.findall(r"[A-Z]?[a-z0-9]+", word)}
        ends = [word for word in self.words if len(word) > 2]
        if parts & _STUDENT_WORDS or any(_STUDENT_END.search(word) for word in ends):
            return "student"
        teacher = parts & _TEACHER_WORDS or any(_TEACHER_END.search(word) for word in ends)
        return "teacher" if teacher else None

    @property
    def label(self) -> str:
        """Name it as a user knows it."""
        return ".".join(self.words) or "the bare weights"

    def tensors(self) -> dict[str, Any]:
        """List its tensors with `prefix` taken off."""
        start = len(self.prefix)
        return {k[start:]: v for k, v in self.state.items() if k.startswith(self.prefix)}


def locate(tree: Mapping[str, Any], *, key: str) -> tuple[FoundBackbone, dict[str, Any], list[str]]:
    """Find the one backbone that `key` asks for.

    Args:
        tree: checkpoint, flat or nested.
        key: "teacher", "student", or the name of a container; a bare backbone ignores it.
    Returns:
        What was found, its tensors with `prefix` taken off, and the first parts of the keys beside it
        that are no known head, loss or decoder.
    Raises:
        WeightsError: no backbone, several of which none is meant, or half of one beside it.
    """
    found = _search(tree)
    if not found:
        raise WeightsError(_nothing_sentence(tree))
    chosen = _select(found, key)
    return chosen, chosen.tensors(), _left_out(chosen, found)


def locate_keys(
    tree: Mapping[str, Any], wanted: set[str], *, key: str
) -> tuple[FoundBackbone, dict[str, Any]]:
    """Find the network that has the most of the keys `wanted`, for a network known by its name.

    Raises:
        WeightsError: nowhere are there at least half of them, or at two places and `key` names neither.
    """
    anchors = sorted(wanted)[:1] + sorted(wanted)[-1:]
    found = []
    for path, state in _flat_dicts(tree):
        prefixes = {p for name in state for p in _prefixes(name, tuple(anchors))}
        for prefix in sorted(prefixes, key=len):
            here = FoundBackbone("named", path, prefix, state)
            if len(wanted & here.tensors().keys()) * 2 >= len(wanted):
                found.append(here)
    if not found:
        names = [name for _, state in _flat_dicts(tree) for name in state]
        raise WeightsError(
            f"has not the keys of that network, such as {first_three(sorted(wanted))}; it has "
            f"{first_three(names)}"
        )
    chosen = _select(found, key)
    return chosen, chosen.tensors()


def all_names(tree: Mapping[str, Any]) -> list[str]:
    """List the names of all tensors of a checkpoint, wherever they are."""
    return [name for _, state in _flat_dicts(tree) for name in state]


def _flat_dicts(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the tensors of every dict with the way there, names without what wrappers put in them."""
    for path, state in _dicts(tree):
        tensors: dict[str, Any] = {}
        for name, value in _tensors(state):
            short = _WRAPPED.sub("", name)
            if short in tensors:
                raise WeightsError(
                    f"{name!r} and {short!r} both stand for {short!r}; keep one of them"
                )
            tensors[short] = value
        yield path, tensors


def _tensors(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of a dict; numbers, strings and settings in it are not weights."""
    import numpy as np
    import torch

    for key, value in state.items():
        if isinstance(key, str) and isinstance(value, torch.Tensor | np.ndarray):
            yield key, value


def _dicts(
    tree: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield the dict and the dicts in it, with the way there; optimizer state is not looked into."""
    yield path, tree
    for key, value in tree.items():
        if not isinstance(key, str) or key.startswith(_SKIPPED):
            continue
        if isinstance(value, Mapping) and len(path) < _MAX_DEPTH:
            yield from _dicts(value, (*path, key))


def _search(tree: Mapping[str, Any]) -> list[FoundBackbone]:
    """Find every backbone: by its patch embedding, and, where it lacks that, by its other names."""
    found: list[FoundBackbone] = []
    for path, state in _flat_dicts(tree):
        names = [name.replace(".base_layer.", ".") for name in state]
        here: list[FoundBackbone] = []
        for layout in LAYOUTS:
            prefixes = {p for name in names for p in _prefixes(name, layout.patches)}
            if layout.also is not None:
                prefixes = {p for p in prefixes if p + layout.also in state}
            taken = {f.prefix for f in here}
            for prefix in sorted(prefixes - taken, key=len):
                here.append(FoundBackbone(layout.family, path, prefix, state))
        found += here + _damaged(path, state, names, here)
    return [f for f in found if not any(_is_sibling_word(word) for word in f.words)] or found


def _damaged(
    path: tuple[str, ...], state: Mapping[str, Any], names: list[str], whole: list[FoundBackbone]
) -> list[FoundBackbone]:
    """Find backbones without a patch embedding: two other names of one layout under one prefix."""
    found: list[FoundBackbone] = []
    for layout in LAYOUTS:
        hits: dict[str, set[str]] = {}
        for name in names:
            for prefix in _prefixes(name, layout.anchors):
                hits.setdefault(prefix, set()).add(name)
        for prefix in sorted((p for p, keys in hits.items() if len(keys) > 1), key=len):
            nested = any(
                prefix.startswith(f.prefix) or f.prefix.startswith(prefix) for f in (*whole, *found)
            )
            if not nested:
                found.append(FoundBackbone(layout.family, path, prefix, state))
    return found


def _prefixes(name: str, anchors: tuple[str, ...]) -> Iterator[str]:
    """Yield what stands before an anchor at the end of `name`; nothing if it ends otherwise."""
    for anchor in anchors:
        if name == anchor or name.endswith(f".{anchor}"):
            yield name.removesuffix(anchor)


def _select(found: list[FoundBackbone], key: str) -> FoundBackbone:
    """Select the backbone of `key` among those found.

    Where only one of the two is marked, the other is plain: solo-learn keeps the student as
    `backbone.` beside `momentum_backbone.`, lightly the teacher beside `student_backbone.`.
    """
    if len(found) == 1 and found[0].role is None:
        return found[0]
    named = [f for f in found if key in f.words or key == f.label]
    marked = [f for f in found if f.role == key]
    other = [f for f in found if f.role not in (None, key)]
    plain = [f for f in found if f.role is None] if other and key in ("teacher", "student") else []
    if not other and not marked and len(found) > 1 and _all_alike(found):
        return found[0]
    pool = named or marked or plain
    if len(pool) == 1 or (pool and _all_alike(pool)):
        return pool[0]
    labels = ", ".join(f"{f.role or 'unmarked'} ({f.label})" for f in found[:6])
    if not pool:
        raise WeightsError(
            f"key={key!r} is not in this checkpoint, which has {labels}; pass one of these as key "
            f"(--key), such as key={found[0].words[0] if found[0].words else found[0].label!r}"
        )
    raise WeightsError(
        f"key={key!r} fits {len(pool)} networks of this checkpoint ({labels}); pass the name in "
        "brackets as key (--key), or pass the state dict of one of them"
    )


def _all_alike(found: list[FoundBackbone]) -> bool:
    """Tell whether all are one network under several names, as shared modules are written."""
    import torch

    first = found[0].tensors()
    for other in found[1:]:
        tensors = other.tensors()
        if other.family != found[0].family or tensors.keys() != first.keys():
            return False
        if not all(
            torch.equal(torch.as_tensor(first[name]), torch.as_tensor(value))
            for name, value in tensors.items()
        ):
            return False
    return True


def _left_out(chosen: FoundBackbone, found: list[FoundBackbone]) -> list[str]:
    """List the parts beside the backbone that no name known here explains.

    Raises:
        WeightsError: a tensor there is named as one of the backbone, so half of it may lie there.
    """
    prefixes = tuple(f.prefix for f in found if f.path == chosen.path)
    beside = BY_FAMILY[chosen.family].beside
    extra = [
        name
        for name in chosen.state
        if not name.startswith(prefixes)
        and not any(_is_sibling_word(part) for part in name.split("."))
        and not (beside and re.match(beside, name))
    ]
    own = {_numberless(name) for name in chosen.tensors()}
    halves = [
        name for name in extra if any(_numberless(tail) in own for tail in _tails(name, chosen))
    ]
    if halves:
        raise WeightsError(
            f"unknown keys beside the backbone {chosen.prefix!r}: {first_three(halves)}, named as if "
            "they belonged to it; rename them as the others are, or remove them"
        )
    return sorted({name.split(".")[0] for name in extra})


def _tails(name: str, chosen: FoundBackbone) -> Iterator[str]:
    """Yield a name without its first part, its first two, …; whole where the backbone has a prefix."""
    parts = name.split(".")
    for start in range(0 if chosen.prefix else 1, len(parts)):
        yield ".".join(parts[start:])


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _is_sibling_word(part: str) -> bool:
    """Tell whether a part of a name says head, loss, decoder …"""
    return _SIBLING.search(part) is not None


def _nothing_sentence(tree: Mapping[str, Any]) -> str:
    """Say why no backbone was found, by the keys there are."""
    names = all_names(tree)
    if not names:
        return "holds no tensors; expected the state dict of a ViT, ResNet-50 or XCiT"
    what = seems(names)
    if what is not None:
        return f"no backbone of a known layout in it: {what}"
    near = nearest_layout(names)
    if near is not None:
        return f"no backbone of a known layout in it (keys such as {first_three(names)}); {near}"
    return (
        f"no backbone of a known layout in it (keys such as {first_three(names)}); expected a ViT "
        "(timm, original DINO, Hugging Face, CLIP, torchvision or mmpretrain), a ResNet-50 or an XCiT; "
        "pass arch= (--arch) where timm knows the network"
    )


def first_three(names: list[str]) -> str:
    """List up to three names for an error message, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
