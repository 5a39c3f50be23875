"""How a run is doing, by what it has learned: k-NN on labelled photos, and attention on a few."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dino.backbone import Backbone, wrap
from dino.errors import UserError
from dino.evaluation.features import center_crop, embed_folder
from dino.evaluation.knn import knn_accuracy
from dino.folders import PhotoFolder, open_labelled
from dino.images import read
from dino.render import colorize, normalize
from dino.weights.hints import Triple

Scale = tuple[Triple, Triple]

# More photos would only cost time: 1,000 give ±1.5 points at 50 %.
MAX_REFERENCE, MAX_TEST = 4000, 1000
_K, _TEMPERATURE = 20, 0.07


@dataclass(frozen=True)
class Probe:
    """What to look at, and at which size in px."""

    size: int
    labelled: tuple[PhotoFolder, PhotoFolder] | None = None
    film: tuple[np.ndarray, ...] = ()

    def look(self, module: Any, scale: Scale, folder: Path, name: str) -> dict[str, Any]:
        """Measure a network and draw its attention.

        Args:
            module: a timm model that nothing else uses.
            scale: mean and std of its input.
            folder: the run's; pictures go to its `filmstrip/<name>/`.
        Returns:
            `knn` in percent (k = 20, or as many as there are), or None; `film` the pictures' folder
            below the run's, or None.
        """
        backbone = wrap(
            module,
            name=name,
            description="",
            mean=scale[0],
            std=scale[1],
            device=next(module.parameters()).device,
        )
        return {"knn": self._knn(backbone), "film": self._film(backbone, folder, name)}

    def _knn(self, backbone: Backbone) -> float | None:
        if self.labelled is None:
            return None
        train, val = (embed_folder(backbone, f, size=self.size, workers=0) for f in self.labelled)
        found = knn_accuracy(
            train.cls, train.labels, val.cls, val.labels, k=_K, temperature=_TEMPERATURE
        )
        return round(found.top1, 2)

    def _film(self, backbone: Backbone, folder: Path, name: str) -> str | None:
        if not self.film or not backbone.has_attention:
            return None
        place = folder / "filmstrip" / name
        place.mkdir(parents=True, exist_ok=True)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
        maps: dict[str, Any] = {}
        for number, rgb in enumerate(self.film):
            side = self.size // backbone.patch_size * backbone.patch_size
            crop = center_crop(rgb, size=side, resize=side)
            image = torch.from_numpy(crop).permute(2, 0, 1).float() / 255
            weights = backbone.attention(((image - mean) / std)[None]).weights[0, 0, 0].numpy()
            Image.fromarray(crop).save(folder / "filmstrip" / f"photo-{number}.png")
            heads = np.hstack([colorize(head) for head in normalize(weights)[0]])
            drawn = heads.repeat(backbone.patch_size, axis=0).repeat(backbone.patch_size, axis=1)
            Image.fromarray(drawn).save(place / f"photo-{number}.png")
            maps[f"photo-{number}"] = weights.astype(np.float16)
        np.savez_compressed(place / "attention.npz", **maps)
        return str(place.relative_to(folder))


def open_probe(size: int, knn: str | None, film: tuple[str, ...]) -> Probe:
    """Read what a run looks at.

    Raises:
        UserError: the labelled folder is not one, or a photo cannot be read.
    """
    labelled = None
    if knn is not None:
        train, val = open_labelled(knn)
        labelled = _thinned(train, MAX_REFERENCE), _thinned(val, MAX_TEST)
    pictures = []
    for path in film:
        try:
            pictures.append(read(Path(path)))
        except OSError as error:
            raise UserError(f"the photo for the filmstrip cannot be read ({error})") from error
    return Probe(size, labelled, tuple(pictures))


def _thinned(folder: PhotoFolder, most: int) -> PhotoFolder:
    """At most `most` photos, evenly spread over the folder's order and so over its classes."""
    if len(folder) <= most:
        return folder
    return folder.subset(np.linspace(0, len(folder) - 1, most).round().astype(int).tolist())
