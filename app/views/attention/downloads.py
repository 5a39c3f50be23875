"""What is shown as files, and the command that makes them again."""

from collections.abc import Callable, Iterator

from app.cache import pictures
from app.state.asked import LOGITS, ROLLOUT
from app.ui import command, layout
from app.views.attention.scene import Scene, looked, looked_everywhere
from dino.attention.files import (
    Style,
    attention_files,
    attention_npz,
    head_picture,
    layers_files,
    layers_npz,
)
from dino.attention.mass import DEFAULT_MASS
from dino.media import draw
from dino.model.queries import query_name
from dino.system.files import File, results_name, zip_files

Download = tuple[str, str, str, Callable[[], bytes]]


def show(scene: Scene, index: int, *, every_layer: bool, flags: list[str]) -> None:
    """Buttons and command of what is shown: the last block's CLS rows, or any others.

    `every_layer` takes all blocks; `flags` of the command name the network.
    """
    options: list[str] = []
    if scene.asked.is_default(scene.backbone) and not every_layer:
        _last_block(scene, index)
    else:
        _any_block(scene, index, every_layer)
        options = _row_options(scene, every_layer)
    command.show_of_photo("attend", scene.choice, [*options, *_style_options(scene.style), *flags])


def _last_block(scene: Scene, index: int) -> None:
    choice, attention = scene.choice, scene.attention

    def files() -> Iterator[File]:
        photo = pictures.pixels(choice.photo)
        random = scene.backbone.is_random
        return attention_files(attention, photo, DEFAULT_MASS, scene.style, random=random)

    stem = results_name(choice.photo.file_name, choice.photo.id)
    layout.downloads(
        _this_map(scene, index),
        (
            "All pictures (ZIP)",
            f"{stem}-attention.zip",
            "folder_zip",
            lambda: zip_files(files()),
        ),
        ("Sheet (PNG)", f"{stem}-sheet.png", "grid_view", lambda: dict(files())["sheet.png"]),
        (
            "Numbers (NPZ)",
            f"{stem}-attention.npz",
            "data_array",
            lambda: attention_npz(attention),
        ),
    )


def _any_block(scene: Scene, index: int, every_layer: bool) -> None:
    choice, backbone, asked = scene.choice, scene.backbone, scene.asked
    as_logits, rolled = asked.method == LOGITS, asked.method == ROLLOUT
    stem = results_name(choice.photo.file_name, choice.photo.id)
    slug = query_name(asked.query).replace(":", "-")
    find = looked_everywhere if every_layer else looked
    sheet = f"rollout-{slug}.png" if rolled else f"layers-{slug}.png"

    def files() -> Iterator[File]:
        found = find(choice, backbone, asked)
        photo = pictures.pixels(choice.photo)
        random = backbone.is_random
        return layers_files(found, photo, scene.style, logits=as_logits, random=random)

    layout.downloads(
        _this_map(scene, index),
        ("Sheet (PNG)", f"{stem}-{sheet}", "grid_view", lambda: dict(files())[sheet]),
        (
            "Numbers (NPZ)",
            f"{stem}-layers.npz",
            "data_array",
            lambda: layers_npz(find(choice, backbone, asked), logits=as_logits),
        ),
        (
            "All files (ZIP)",
            f"{stem}-layers.zip",
            "folder_zip",
            lambda: zip_files(files()),
        ),
    )


def _row_options(scene: Scene, every_layer: bool) -> list[str]:
    """Flags of `attend` that ask for the rows shown."""
    asked = scene.asked
    options = ["--layers", "all" if every_layer else str(asked.layer)]
    options += ["--queries", query_name(asked.query)]
    return (
        options
        + ["--logits"] * (asked.method == LOGITS)
        + ["--rollout"] * (asked.method == ROLLOUT)
    )


def _this_map(scene: Scene, index: int) -> Download:
    names, scaled, _ = scene.maps()
    stem = results_name(scene.choice.photo.file_name, scene.choice.photo.id)

    def this_map() -> bytes:
        photo = pictures.pixels(scene.choice.photo)
        picture = head_picture(scaled[index], scene.attention, photo, scene.style)
        return draw.encode_png(scene.marked(picture))

    return "This map (PNG)", f"{stem}-{names[index]}.png", "image", this_map


def _style_options(style: Style) -> list[str]:
    """Flags of `attend` where the style differs from its defaults."""
    default, flags = Style(), []
    if style.colormap != default.colormap:
        flags += ["--colormap", style.colormap]
    if style.opacity != default.opacity:
        flags += ["--opacity", f"{style.opacity:g}"]
    if style.interpolation == "bilinear":
        flags.append("--smooth")
    if style.shared_scale:
        flags.append("--shared-scale")
    return flags
