"""Offer the same files as `segment` writes, and the line that makes them."""

from dataclasses import replace

from app.ui import command, layout
from app.ui.masks import MaskDownloads
from app.views.masks import controls
from app.views.masks.scene import Scene
from dino.attention.files import attention_npz
from dino.masks import proposals
from dino.masks.files import discovery_npz, mask_files
from dino.media import draw
from dino.system.files import zip_files


def offer(scene: Scene) -> None:
    """Show buttons of downloads, made once they are clicked, and the command."""
    attention, settings, found = scene.attention, scene.settings, scene.found
    files = MaskDownloads(scene.choice.photo, scene.backbone.is_random, scene.described)
    view = (
        "This view (PNG)",
        f"{files.stem}-{scene.view}.png",
        "image",
        lambda: draw.encode_png(scene.draw(scene.masks())),
    )
    if found is None:
        layout.downloads(
            view,
            *files.buttons(),
            ("All heads (ZIP)", f"{files.stem}-masks.zip", "folder_zip",
             lambda: _every_head(scene, files)),
            ("Numbers (NPZ)", f"{files.stem}-attention.npz", "data_array",
             lambda: attention_npz(attention)),
        )  # fmt: skip
    else:
        layout.downloads(
            view,
            *files.buttons(),
            ("All files (ZIP)", f"{files.stem}-objects.zip", "folder_zip", files.zip),
            ("Numbers (NPZ)", f"{files.stem}-objects.npz", "data_array",
             lambda: discovery_npz(found, attention.geometry, settings=settings.to_json())),
        )  # fmt: skip
        _offer_objects(scene, files)
    options = controls.flags(settings, attention.num_heads)
    command.show_of_photo("segment", scene.choice, options)


def _offer_objects(scene: Scene, files: MaskDownloads) -> None:
    """Show a button an object, where there are several."""
    count = len(scene.grid_masks)
    if count > 1 and not scene.is_patches:
        count = len(scene.masks())  # some may have been left out
    if count > 1:
        numbers = range(1, count + 1)
        layout.downloads(
            *(files.picture(f"Object {n}", f"object-{n}", "contrast") for n in numbers)
        )


def _every_head(scene: Scene, files: MaskDownloads) -> bytes:
    """Pack the mask and each head's own, tidied and refined likewise."""
    rgb, collected = scene.photo(), files.files()
    for head, patches in enumerate(scene.compared_masks):
        settings = replace(scene.settings, heads=(head,))
        pixels = proposals.finish(rgb, scene.attention.geometry.to_photo(patches), settings)
        mask = proposals.describe_mask(pixels, scene.attention, settings)
        named = mask_files(rgb, mask, random=scene.backbone.is_random)
        collected += [(f"head-{head}-{name}", data) for name, data in named]
    return zip_files(collected)
