"""Name the ways to make and refine a mask, and offer masks as files: what pages that make masks share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.cache import pictures
from app.state.selection import Photo
from app.ui.layout import Download
from dino.masks.coco import coco_json
from dino.masks.files import mask_files
from dino.masks.settings import Mask
from dino.media import draw
from dino.system.files import File, results_name, zip_files

METHODS = {
    "mass": "mass",
    "Otsu": "otsu",
    "k-means": "kmeans",
    "LOST": "lost",
    "TokenCut": "tokencut",
    "MaskCut": "maskcut",
}
REFINEMENTS = {"patches": "none", "guided filter": "guided", "GrabCut": "grabcut"}


def shrink_masks(masks: np.ndarray, width: int) -> list[np.ndarray]:
    """Reduce masks [n,H,W] bool to at most `width` px in width, as `dino.media.draw.shrink` does photos."""
    return [draw.shrink(mask.astype(np.uint8) * 255, width) >= 128 for mask in masks]


@dataclass(frozen=True)
class MaskDownloads:
    """The files of a photo's masks, each made once it is asked for.

    `describe` makes the mask of all, and those of its objects; `random` marks pictures made with
    random weights.
    """

    photo: Photo
    random: bool
    describe: Callable[[], tuple[Mask, Sequence[Mask]]]

    @property
    def stem(self) -> str:
        """Give what the names of the files begin with."""
        return results_name(self.photo.file_name, self.photo.id)

    def files(self) -> list[File]:
        """Make the masks and the cut-out."""
        whole, objects = self.describe()
        rgb = pictures.pixels(self.photo)
        return list(mask_files(rgb, whole, objects=objects, random=self.random))

    def coco(self) -> bytes:
        """Write the masks as a COCO file."""
        whole, objects = self.describe()
        return coco_json([(self.photo.file_name, objects or [whole])])

    def zip(self) -> bytes:
        """Pack all of these."""
        return zip_files([*self.files(), ("coco.json", self.coco())])

    def picture(self, label: str, name: str, icon: str) -> Download:
        """Offer one of `files`."""
        return (
            f"{label} (PNG)",
            f"{self.stem}-{name}.png",
            icon,
            lambda: dict(self.files())[f"{name}.png"],
        )

    def buttons(self) -> tuple[Download, ...]:
        """Offer what every page of masks does: the mask, the cut-out, and COCO."""
        return (
            self.picture("Mask", "mask", "contrast"),
            self.picture("Cut-out", "cutout", "content_cut"),
            ("COCO (JSON)", f"{self.stem}-coco.json", "data_object", self.coco),
        )
