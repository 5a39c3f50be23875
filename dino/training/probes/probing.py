"""Measure what a run has learned: k-NN on labelled photos, J on masks, and attention on a few photos."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dino.evaluation.mask_data import MaskData, open_masks
from dino.evaluation.segmentation import attention_jaccard
from dino.features.data import center_crop, whole_patches
from dino.features.embedding import embed_folder
from dino.features.knn import knn_accuracy
from dino.media.draw import colorize, normalize
from dino.media.images import read
from dino.media.photo_folders import PhotoFolder, open_labelled
from dino.media.preprocessing import normalize_images
from dino.model.backbone import Backbone, wrap
from dino.training.data import evenly_spread
from dino.training.methods import Scale
from dino.training.runs.folder import Inputs

# More photos would only cost time: 1,000 give ±1.5 points at 50 %.
MAX_REFERENCE, MAX_TEST = 4000, 1000
MAX_MASKED = 100
_MASS = 0.6
_K, _TEMPERATURE = 20, 0.07


@dataclass(frozen=True)
class Probe:
    """What a run is measured on, and at which sizes in px."""

    size: int
    film_size: int
    labelled: tuple[PhotoFolder, PhotoFolder] | None = None
    film: tuple[np.ndarray, ...] = ()
    masks: MaskData | None = None

    def measure(self, module: Any, scale: Scale, folder: Path, name: str) -> dict[str, Any]:
        """Measure a network and draw its attention.

        Args:
            module: a timm model that nothing else uses.
            scale: mean and std of its input.
            folder: the run's; pictures go to its `filmstrip/<name>/`.
        Returns:
            `knn` in percent (k = 20, or as many as there are), `jaccard` of the best head's mask at
            60 % mass (0 to 1), `film` the pictures' folder below the run's; None where not asked for.
        """
        backbone = wrap(
            module,
            name=name,
            description="",
            mean=scale[0],
            std=scale[1],
            device=next(module.parameters()).device,
        )
        return {
            "knn": self._knn(backbone),
            "jaccard": self._jaccard(backbone),
            "film": self._film(backbone, folder, name),
        }

    def _knn(self, backbone: Backbone) -> float | None:
        if self.labelled is None:
            return None
        train, val = (
            embed_folder(backbone, f, size=self.size, workers=0, reduced=True)
            for f in self.labelled
        )
        found = knn_accuracy(
            train.cls, train.labels, val.cls, val.labels, k=_K, temperature=_TEMPERATURE
        )
        return round(found.top1, 2)

    def _jaccard(self, backbone: Backbone) -> float | None:
        if self.masks is None or not backbone.has_attention:
            return None
        found = attention_jaccard(backbone, self.masks, size=self.size, masses=(_MASS,))
        return round(found.at(_MASS).best_head, 4)

    def _film(self, backbone: Backbone, folder: Path, name: str) -> str | None:
        if not self.film or not backbone.has_attention:
            return None
        place = folder / "filmstrip" / name
        place.mkdir(parents=True, exist_ok=True)
        maps: dict[str, Any] = {}
        side = whole_patches(self.film_size, backbone.patch_size)
        for number, rgb in enumerate(self.film):
            crop = center_crop(rgb, size=side, resize=side)
            image = torch.from_numpy(crop).permute(2, 0, 1)[None]
            images = normalize_images(image, backbone.mean, backbone.std)
            looked = backbone.attention(images, queries=(backbone.default_query,))
            weights = looked.weights[0, 0, 0].numpy()
            Image.fromarray(crop).save(folder / "filmstrip" / f"photo-{number}.png")
            heads = np.hstack([colorize(head) for head in normalize(weights)[0]])
            drawn = heads.repeat(backbone.patch_size, axis=0).repeat(backbone.patch_size, axis=1)
            Image.fromarray(drawn).save(place / f"photo-{number}.png")
            maps[f"photo-{number}"] = weights.astype(np.float16)
        np.savez_compressed(place / "attention.npz", **maps)
        return str(place.relative_to(folder))


def open_probe(size: int, film_size: int, inputs: Inputs) -> Probe:
    """Read the photos that a run is measured on.

    Raises:
        UserError: the labelled folder or the masks are not such, or a photo cannot be read (an
            ImageError).
    """
    labelled = masks = None
    if inputs.knn is not None:
        train, val = open_labelled(inputs.knn)
        labelled = _thinned(train, MAX_REFERENCE), _thinned(val, MAX_TEST)
    if inputs.masks is not None:
        masks = open_masks(inputs.masks)
        chosen = evenly_spread(len(masks.paths), MAX_MASKED)
        masks = replace(masks, paths=tuple(masks.paths[i] for i in chosen))
    pictures = tuple(read(Path(path)) for path in inputs.film)
    return Probe(size, film_size, labelled, pictures, masks)


def _thinned(folder: PhotoFolder, most: int) -> PhotoFolder:
    """Take at most `most` photos, evenly spread over the folder's order and so over its classes."""
    return folder if len(folder) <= most else folder.subset(evenly_spread(len(folder), most))
