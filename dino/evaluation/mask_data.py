"""Photos whose objects are outlined: a folder of masks, Pascal VOC 2012, or COCO JSON.

data = open_masks("caltech-masks")               # images/ and masks/
data = open_masks("VOCdevkit/VOC2012")           # JPEGImages/, SegmentationObject/, ImageSets/
data = open_masks("coco/instances.json")         # photos beside it, or photos=FOLDER
data.objects(data.paths[0]).masks                # bool [O, H, W]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.masks.coco import CocoImage, PixelBox, decode_outline, read_coco
from dino.media.images import find_images
from dino.media.label_maps import read_brightest
from dino.media.regions import box_of

# Pascal's label of borders and of what is too hard to tell.
_VOC_IGNORE = 255


@dataclass(frozen=True)
class Objects:
    """The outlined objects of one photo.

    `masks` [O,H,W] bool, each with a pixel at least; `ignore` [H,W] bool, pixels that count neither
    as object nor as background; `given` the objects' boxes as far as a file has them, else None.
    """

    masks: np.ndarray
    ignore: np.ndarray
    given: tuple[PixelBox | None, ...] = ()

    @property
    def boxes(self) -> np.ndarray:
        """List (top, left, bottom, right) of each object in px, float64 [O,4]: as given, else its mask's."""
        given = self.given or (None,) * len(self.masks)
        boxes = [
            box_of(mask) if box is None else box
            for mask, box in zip(self.masks, given, strict=True)
        ]
        return np.array(boxes, dtype=np.float64).reshape(-1, 4)


@dataclass(frozen=True)
class MaskData:
    """Photos and a way to read the objects of each: `objects(path)`; `layout` in words."""

    root: Path
    layout: str
    paths: tuple[Path, ...]
    objects: Callable[[Path], Objects]


def open_masks(
    root: str | Path, *, photos: str | Path | None = None, split: str = "val"
) -> MaskData:
    """List photos with outlined objects; what is there says which layout it is.

    Args:
        root: a folder with images/ and masks/ (a PNG a photo, of the same stem and size; what is
            not zero is its one object); a VOC folder with JPEGImages/, ImageSets/Segmentation/ and
            SegmentationObject/ or SegmentationClass/ (where a class counts as one object); a COCO
            JSON, or a folder that holds one.
        photos: folder of a COCO JSON's photos; default beside it or in images/ beside it.
        split: which list of a VOC folder.
    Raises:
        UserError: none of these layouts, or a photo, mask or list that is missing.
    """
    root = Path(root)
    if root.suffix == ".json":
        return _open_coco(root, photos)
    if (root / "JPEGImages").is_dir():
        return _open_voc(root, split)
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return _open_folders(root)
    files = sorted(root.glob("*.json"))
    if len(files) == 1:
        return _open_coco(files[0], photos)
    raise UserError(
        f"{root} holds no outlined photos; expected a folder with images/ and masks/, a VOC2012 "
        "folder with JPEGImages/, or a COCO JSON"
    )


def _open_folders(root: Path) -> MaskData:
    paths = tuple(find_images(root / "images"))
    masks = root / "masks"
    _require(paths, root / "images")
    missing = [path for path in paths if not _mask_of(path, masks).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(paths)} photos have no mask, the first {missing[0].name}; "
            f"expected {_mask_of(missing[0], masks)}, so add the masks or move the photos away"
        )
    return MaskData(root, "images and masks", paths, partial(_read_foreground, masks=masks))


def _open_voc(root: Path, split: str) -> MaskData:
    kind = "SegmentationObject" if (root / "SegmentationObject").is_dir() else "SegmentationClass"
    listed = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not listed.is_file() or not (root / kind).is_dir():
        raise UserError(
            f"{root} lacks {listed.relative_to(root)} or SegmentationObject/; expected the "
            "VOC2012 folder of the segmentation task, so unpack VOCtrainval again"
        )
    names = listed.read_text().split()
    paths = tuple(root / "JPEGImages" / f"{name}.jpg" for name in names)
    _require(paths, listed)
    for path in (*paths, *(_mask_of(photo, root / kind) for photo in paths)):
        if not path.is_file():
            raise UserError(f"{path} is missing, but {listed} names it; unpack VOCtrainval again")
    layout = f"VOC {split}, {kind}"
    return MaskData(root, layout, paths, partial(_read_labels, masks=root / kind))


def _open_coco(file: Path, photos: str | Path | None) -> MaskData:
    images = read_coco(file)
    _require(images, file)
    folders = [Path(photos)] if photos else [file.parent, file.parent / "images"]
    first = images[0].file_name
    folder = next((f for f in folders if (f / first).is_file()), None)
    if folder is None:
        tried = " nor ".join(str(f / first) for f in folders)
        raise UserError(f"{file} names {first}, which is not {tried}; say where its photos are")
    known = {folder / image.file_name: image for image in images}
    return MaskData(file, "COCO", tuple(known), partial(_read_outlines, known=known))


def _require(found: object, where: Path) -> None:
    if not found:
        raise UserError(f"{where} lists no photo with an object; expected one at least")


def _mask_of(photo: Path, masks: Path) -> Path:
    return masks / f"{photo.stem}.png"


def _read_foreground(photo: Path, *, masks: Path) -> Objects:
    mask = read_brightest(_mask_of(photo, masks)) != 0
    return _objects([mask], np.zeros_like(mask))


def _read_labels(photo: Path, *, masks: Path) -> Objects:
    labels = read_brightest(_mask_of(photo, masks))
    numbers = [number for number in np.unique(labels) if number not in (0, _VOC_IGNORE)]
    return _objects([labels == number for number in numbers], labels == _VOC_IGNORE)


def _read_outlines(photo: Path, *, known: dict[Path, CocoImage]) -> Objects:
    image = known[photo]
    try:
        masks = [decode_outline(outline, image.shape) for outline in image.outlines]
        crowds = [decode_outline(outline, image.shape) for outline in image.crowds]
    except UserError as error:
        raise UserError(f"{photo.name}: {error}") from error
    ignore = np.any(crowds, axis=0) if crowds else np.zeros(image.shape, dtype=bool)
    return _objects(masks, ignore, image.boxes)


def _objects(
    masks: list[np.ndarray], ignore: np.ndarray, given: Sequence[PixelBox | None] = ()
) -> Objects:
    """Stack what has a pixel that counts."""
    kept = [number for number, mask in enumerate(masks) if (mask & ~ignore).any()]
    stacked = np.array([masks[number] for number in kept], dtype=bool)
    boxes = tuple(given[number] for number in kept) if given else ()
    return Objects(stacked.reshape(-1, *ignore.shape), ignore, boxes)
