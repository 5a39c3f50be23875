"""What the Masks page gives to take away: the same files as `segment`, and the line that makes them."""

import numpy as np

from app.cache import pictures
from app.ui import command, layout
from app.views.masks import controls
from app.views.masks.scene import Scene
from dino.attention.files import attention_npz
from dino.masks import proposals
from dino.masks.coco import coco_json
from dino.masks.files import discovery_npz, mask_files
from dino.media import draw
from dino.system.files import File, results_name, zip_files


def show(scene: Scene) -> None:
    """Show buttons of downloads, made once they are clicked, and the command."""
    choice, attention, settings = scene.choice, scene.attention, scene.settings
    stem = results_name(choice.photo.file_name, choice.photo.id)
    found = scene.found

    def this_view() -> bytes:
        full = pictures.pixels(choice.photo).shape[1]
        return draw.encode_png(scene.draw(scene.masks(), full))

    def numbers() -> bytes:
        if found is None:
            return attention_npz(attention)
        made = settings.to_json()
        return discovery_npz(found, attention.geometry, settings=made)

    every = ("All heads (ZIP)", f"{stem}-masks.zip", "folder_zip", lambda: _every_head(scene))
    if found is not None:
        every = ("All files (ZIP)", f"{stem}-objects.zip", "folder_zip", lambda: _zip(scene))
    layout.downloads(
        ("This view (PNG)", f"{stem}-{scene.view}.png", "image", this_view),
        ("Mask (PNG)", f"{stem}-mask.png", "contrast", lambda: _file(scene, "mask.png")),
        ("Cut-out (PNG)", f"{stem}-cutout.png", "content_cut", lambda: _file(scene, "cutout.png")),
        ("COCO (JSON)", f"{stem}-coco.json", "data_object", lambda: _coco(scene)),
        every,
        (
            "Numbers (NPZ)",
            f"{stem}-{'attention' if found is None else 'objects'}.npz",
            "data_array",
            numbers,
        ),
    )
    _objects(scene, stem)
    command.show_of_photo("segment", choice, controls.flags(settings, attention.num_heads))


def _objects(scene: Scene, stem: str) -> None:
    """Show a button an object, where there are several."""
    if scene.found is None or len(scene.found.masks) < 2:
        return
    count = len(scene.found.masks if scene.is_patches else scene.masks())
    if count > 1:
        layout.downloads(
            *(
                (
                    f"Object {number} (PNG)",
                    f"{stem}-object-{number}.png",
                    "contrast",
                    lambda number=number: _file(scene, f"object-{number}.png"),
                )
                for number in range(1, count + 1)
            )
        )


def _files(scene: Scene) -> list[File]:
    photo, masks = pictures.pixels(scene.choice.photo), scene.described()
    whole = proposals.merge_masks(masks, (photo.shape[0], photo.shape[1]), scene.settings)
    return list(mask_files(photo, whole, objects=masks, random=scene.backbone.is_random))


def _file(scene: Scene, name: str) -> bytes:
    return dict(_files(scene))[name]


def _coco(scene: Scene) -> bytes:
    height, width = pictures.pixels(scene.choice.photo).shape[:2]
    masks = scene.described()
    whole = proposals.merge_masks(masks, (height, width), scene.settings)
    return coco_json([(scene.choice.photo.file_name, masks or [whole])])


def _zip(scene: Scene) -> bytes:
    return zip_files([*_files(scene), ("coco.json", _coco(scene))])


def _every_head(scene: Scene) -> bytes:
    """Pack the mask and each head's own, tidied and refined likewise."""
    photo = pictures.pixels(scene.choice.photo)
    collected = _files(scene)
    for head, patches in enumerate(scene.compared_masks):
        collected += _head_files(scene, head, photo, patches)
    return zip_files(collected)


def _head_files(scene: Scene, head: int, photo: np.ndarray, patches: np.ndarray) -> list[File]:
    own = controls.of_head(scene.settings, head)
    pixels = proposals.finish(photo, scene.attention.geometry.to_photo(patches), own)
    mask = proposals.describe_mask(pixels, scene.attention, own)
    named = mask_files(photo, mask, random=scene.backbone.is_random)
    return [(f"head-{head}-{name}", data) for name, data in named]
