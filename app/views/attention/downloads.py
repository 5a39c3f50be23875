"""Offer what is shown as files, with the command that makes them again."""

from collections.abc import Iterator

from app.ui import command, layout
from app.ui.layout import Download
from app.views.attention.scene import Scene
from dino.attention.files import (
    attention_files,
    attention_npz,
    layers_files,
    layers_npz,
    style_settings,
)
from dino.attention.mass import DEFAULT_MASS
from dino.attention.photo import LOGITS, ROLLOUT, PhotoAttention
from dino.media import draw
from dino.model.queries import query_name
from dino.system.files import File, results_name, zip_files


def show(scene: Scene, index: int, *, every_block: bool, flags: list[str]) -> None:
    """Draw buttons and command of what is shown: the last block's CLS rows, or any others.

    Args:
        index: of the map that is shown large.
        every_block: take all blocks.
        flags: of the command, which name the network.
    """
    options = command.flags(mass=scene.mass if scene.mass != DEFAULT_MASS else None)
    if scene.asked.is_default(scene.backbone) and not every_block:
        _last_block(scene, index)
    else:
        _any_block(scene, index, every_block)
        options += _row_options(scene, every_block)
    command.show_of_photo(
        "attend", scene.choice, [*options, *command.flags(**style_settings(scene.style)), *flags]
    )


def _last_block(scene: Scene, index: int) -> None:
    attention, stem = scene.attention, _stem(scene)

    def files() -> Iterator[File]:
        random = scene.backbone.is_random
        return attention_files(attention, scene.photo(), scene.mass, scene.style, random=random)

    layout.downloads(
        _this_map(scene, index),
        ("All pictures (ZIP)", f"{stem}-attention.zip", "folder_zip", lambda: zip_files(files())),
        ("Sheet (PNG)", f"{stem}-sheet.png", "grid_view", lambda: dict(files())["sheet.png"]),
        ("Numbers (NPZ)", f"{stem}-attention.npz", "data_array", lambda: attention_npz(attention)),
    )


def _any_block(scene: Scene, index: int, every_block: bool) -> None:
    method, stem = scene.asked.method, _stem(scene)
    slug = query_name(scene.asked.query).replace(":", "-")
    sheet = f"{'rollout' if method == ROLLOUT else 'layers'}-{slug}.png"

    def attention() -> PhotoAttention:
        return scene.every_block() if every_block else scene.attention

    def files() -> Iterator[File]:
        return layers_files(
            attention(),
            scene.photo(),
            scene.style,
            logits=method == LOGITS,
            random=scene.backbone.is_random,
        )

    layout.downloads(
        _this_map(scene, index),
        ("Sheet (PNG)", f"{stem}-{sheet}", "grid_view", lambda: dict(files())[sheet]),
        ("Numbers (NPZ)", f"{stem}-layers.npz", "data_array",
         lambda: layers_npz(attention(), logits=method == LOGITS)),
        ("All files (ZIP)", f"{stem}-layers.zip", "folder_zip", lambda: zip_files(files())),
    )  # fmt: skip


def _row_options(scene: Scene, every_block: bool) -> list[str]:
    """List the flags of `attend` that ask for the rows shown."""
    asked = scene.asked
    return command.flags(
        layers="all" if every_block else asked.layer,
        queries=query_name(asked.query),
        logits=asked.method == LOGITS,
        rollout=asked.method == ROLLOUT,
    )


def _this_map(scene: Scene, index: int) -> Download:
    names, scaled, _ = scene.maps()
    name = f"{_stem(scene)}-{names[index]}.png"
    return "This map (PNG)", name, "image", lambda: draw.encode_png(scene.draw(scaled[index]))


def _stem(scene: Scene) -> str:
    """Name what the files of the photo begin with."""
    return results_name(scene.choice.photo.file_name, scene.choice.photo.id)
