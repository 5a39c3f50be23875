"""Find the backbone in a checkpoint: which dict, which key prefix, whose network (teacher, student).

A checkpoint is a dict of tensors, or dicts of dicts beside optimizer state and settings. The
backbone is where keys end in names that only a backbone has (`_ANCHORS`), below containers and
prefixes from a closed list: a prefix nobody uses is an error, not a guess.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dino.errors import WeightsError

# Keys that only one family has, the most particular family first.
_ANCHORS: dict[str, tuple[str, ...]] = {
    "xcit": ("patch_embed.proj.0.0.weight", "cls_attn_blocks.0.norm1.weight"),
    "huggingface": (
        "embeddings.patch_embeddings.projection.weight",
        "embeddings.cls_token",
        "embeddings.position_embeddings",
    ),
    "resnet": ("layer1.0.conv1.weight", "conv1.weight"),
    "timm": ("patch_embed.proj.weight", "cls_token", "pos_embed", "blocks.0.norm1.weight"),
}

# Names that wrap a backbone, as a dict inside a dict or as a dotted prefix of the keys.
_WRAPPERS = frozenset(
    {
        *("module", "_orig_mod", "model", "net", "network", "weights", "params"),
        *("backbone", "encoder", "trunk", "vit", "dinov2", "dinov2_with_registers"),
        *("state_dict", "model_state_dict", "state_dict_ema", "model_ema", "ema"),
        *("teacher", "teacher_model", "teacher_backbone"),
        *("student", "student_model", "student_backbone"),
        *("momentum_backbone", "backbone_momentum", "momentum_encoder"),
    }
)
_TEACHER_WORDS = ("teacher", "momentum", "ema")
# Modules that stand beside a backbone in one state dict and are not part of it.
_SIBLING = re.compile(
    r"head|project|predict|prototype|classifier|criterion|loss|decoder|pooler|queue|center|"
    r"mask_token|^fc$"
)
_MAX_DEPTH = 4


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
        parts = [part for word in self.words for part in word.split("_")]
        if "student" in parts:
            return "student"
        return "teacher" if any(word in parts for word in _TEACHER_WORDS) else None

    @property
    def label(self) -> str:
        """Name it as a user knows it."""
        return ".".join(self.words) or "the bare weights"


def locate(tree: Mapping[str, Any], *, key: str) -> tuple[FoundBackbone, dict[str, Any]]:
    """Find the one backbone that `key` asks for.

    Args:
        tree: checkpoint, flat or nested.
        key: "teacher", "student", or the name of a container; a bare backbone ignores it.
    Returns:
        What was found, and its tensors with `prefix` taken off.
    Raises:
        WeightsError: no backbone, an unknown prefix, no such key, or keys that belong nowhere.
    """
    found, strange = _search(tree, key)
    if not found:
        raise WeightsError(_nothing_sentence(tree, strange))
    chosen = _select(found, key)
    _check_siblings(chosen, found)
    start = len(chosen.prefix)
    return chosen, {k[start:]: v for k, v in _tensors(chosen.state) if k.startswith(chosen.prefix)}


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
        if not isinstance(key, str) or key.startswith(("optim", "lr_sched", "scaler")):
            continue
        if isinstance(value, Mapping) and len(path) < _MAX_DEPTH:
            yield from _dicts(value, (*path, key))


def _search(tree: Mapping[str, Any], key: str) -> tuple[list[FoundBackbone], list[str]]:
    """Find every backbone below known wrappers, and the labels of those below unknown ones."""
    found: list[FoundBackbone] = []
    strange: list[str] = []
    for path, state in _dicts(tree):
        taken: set[str] = set()
        names = [name for name, _ in _tensors(state)]
        for family, anchors in _ANCHORS.items():
            for prefix in sorted({p for name in names for p in _prefixes(name, anchors)}, key=len):
                candidate = FoundBackbone(family, path, prefix, state)
                if prefix in taken:
                    continue
                if all(word in _WRAPPERS or word == key for word in candidate.words):
                    taken.add(prefix)
                    found.append(candidate)
                else:
                    strange.append(candidate.label)
    return found, strange


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
    named = [f for f in found if key in f.words]
    marked = [f for f in found if f.role == key]
    other = [f for f in found if f.role not in (None, key)]
    plain = [f for f in found if f.role is None] if other and key in ("teacher", "student") else []
    pool = named or marked or plain
    if len(pool) == 1:
        return pool[0]
    labels = ", ".join(f"{f.role or 'unmarked'} ({f.label})" for f in found[:6])
    if not pool:
        raise WeightsError(
            f"key={key!r} is not in this checkpoint, which has {labels}; pass one of these as key"
        )
    raise WeightsError(
        f"key={key!r} fits {len(pool)} networks of this checkpoint ({labels}); pass the "
        "state dict of one of them"
    )


def _check_siblings(chosen: FoundBackbone, found: list[FoundBackbone]) -> None:
    """Refuse any tensor beside the backbone that is not known to be no part of it."""
    prefixes = tuple(f.prefix for f in found if f.path == chosen.path)
    extra = [
        name
        for name, _ in _tensors(chosen.state)
        if not name.startswith(prefixes) and not _is_sibling(name)
    ]
    if extra:
        raise WeightsError(
            f"unknown keys beside the backbone {chosen.prefix!r}: {first_three(extra)}; expected "
            "only heads, losses and decoders there, so remove or rename them"
        )


def _is_sibling(name: str) -> bool:
    """Tell whether the first part of `name` that is no wrapper names a head, a loss, a decoder …"""
    parts = name.split(".")
    rest = [part for part in parts if part not in _WRAPPERS]
    return bool(rest) and _SIBLING.search(rest[0]) is not None


def _nothing_sentence(tree: Mapping[str, Any], strange: list[str]) -> str:
    """Say why no backbone was found, by the `strange` prefixes or the keys there are."""
    names = [name for _, state in _dicts(tree) for name, _ in _tensors(state)]
    if not names:
        return "holds no tensors; expected the state dict of a ViT, ResNet-50 or XCiT"
    if strange:
        label = min(strange, key=len)
        unknown = next(word for word in label.split(".") if word not in _WRAPPERS)
        near = difflib.get_close_matches(unknown, _WRAPPERS, n=1, cutoff=0.5)
        hint = f"nearest known: {near[0]!r}" if near else "known: 'backbone', 'teacher', 'module' …"
        return (
            f"a backbone under the unknown prefix {label!r} ({hint}); rename the keys, or pass "
            "that part alone as a state dict"
        )
    return (
        f"no backbone of a known layout in it (keys such as {first_three(names)}); expected a ViT "
        "(timm, original DINO or Hugging Face), a ResNet-50 or an XCiT"
    )


def first_three(names: list[str]) -> str:
    """List up to three names for an error message, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
