"""Hand all maps of the Attention page to the canvas, with a line of figures for each head."""

import numpy as np
import torch

from app.ui.networks import prefix_groups
from app.views.attention.scene import Scene
from dino.attention.mass import entropy
from dino.attention.photo import LOGITS, PROBABILITIES, ROLLOUT
from dino.canvas.content import MapSet, map_values
from dino.media.draw import RANDOM_MARK


def of_scene(scene: Scene, *, beside: bool) -> MapSet:
    """Collect the maps of what is asked: heads, mean and max, or the one of a rollout.

    Args:
        beside: whether the small pictures stand at the right of the large one.
    """
    method, (factor, unit) = scene.asked.method, scene.unit
    heads = scene.attention.select(0, 0, method).heads
    maps = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    names = scene.names
    return MapSet(
        values=map_values(maps[: len(names)]),
        names=tuple(name.removeprefix("head-") for name in names),
        titles=tuple(map(title, names)),
        notes=_notes(scene),
        of=f"of {_block(scene)}, query {scene.asked.token}",
        what=_what(scene),
        group=f"Heads of {_block(scene)}",
        factor=factor,
        unit=unit,
        shares=method != LOGITS,
        beside=beside,
        mark=RANDOM_MARK if scene.backbone.is_random else "",
    )


def title(name: str) -> str:
    """Write a map's name as a title."""
    titles = {"mean": "Mean", "max": "Max", "rollout": "Rollout"}
    return titles.get(name, name.replace("head-", "Head "))


def notes_meaning(scene: Scene) -> list[str]:
    """Say what the figures below each head are; nothing of a rollout, which has none."""
    if not scene.has_heads:
        return []
    most = np.log2(scene.attention.heads[0].size)
    return [
        f"Below each head: {_prefix_meaning(scene)}its entropy over the patches; {most:.1f} bits would be "
        "attention spread evenly."
    ]


def _what(scene: Scene) -> str:
    """Say what the values are, for the bar below the map."""
    if scene.asked.method == ROLLOUT:
        return f"share of each patch in {scene.asked.token}"
    if scene.asked.method == LOGITS:
        return f"logits of {scene.asked.token}"
    return f"attention of {scene.asked.token}"


def _block(scene: Scene) -> str:
    if scene.asked.method == ROLLOUT:
        return f"the attention up to block {scene.asked.layer}"
    if scene.asked.layer == scene.backbone.depth - 1:
        return "the last block's attention"
    return f"the attention of block {scene.asked.layer}"


def _notes(scene: Scene) -> tuple[str, ...]:
    if not scene.has_heads:
        return ()
    bits = entropy(torch.from_numpy(scene.attention.heads)).tolist()
    notes = []
    for head, spread in enumerate(bits):
        given = _prefix_note(scene, head)
        notes.append(f"{given} · " * bool(given) + f"entropy {spread:.1f} bits")
    return (*notes, "over all heads", "over all heads")


def _prefix_meaning(scene: Scene) -> str:
    """Say what the numbers of `_prefix_note` are."""
    names = [f"the {name}" if name != "CLS" else "CLS" for name, _ in _given(scene)]
    if not names:
        return ""
    if scene.asked.method == LOGITS:
        return f"the logit of {' and of '.join(names)}, and "
    return f"the share of its attention that goes to {' and '.join(names)}, and "


def _prefix_note(scene: Scene, head: int) -> str:
    """Say what a head gives the tokens before the patches; nothing where there are none."""
    values = scene.attention.values(scene.asked.method)[1][0, 0, head]
    if scene.asked.method != PROBABILITIES:
        return ", ".join(f"{name} {values[indices].sum():.1f}" for name, indices in _given(scene))
    return ", ".join(f"{name} {values[indices].sum():.0%}" for name, indices in _given(scene))


def _given(scene: Scene) -> list[tuple[str, list[int]]]:
    """Group the tokens before the patches that a head's figures name; logits of several do not add up."""
    groups = prefix_groups(scene.backbone)
    if scene.asked.method == PROBABILITIES:
        return groups
    return [(name, indices) for name, indices in groups if len(indices) == 1]
