"""What is written to disk or offered for download: the same files from the command line and the app.

Each function yields (name, bytes), so that the command line writes a folder and the app a ZIP of the
very same content.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import torch

from dino.attention.figures import patch_scatter, standalone_html
from dino.attention.mass import Mask, mass_mask
from dino.attention.photo import Attention, PatchFeatures
from dino.features.projections import Projection, pca_rgb
from dino.media import draw

File = tuple[str, bytes]
# Width of a picture on the contact sheet.
_TILE_PX = 360


@dataclass(frozen=True)
class Style:
    """How a map is drawn: `opacity` 1 shows the map alone, less lays it over the photo;
    `shared_scale` gives all heads one scale instead of each its own."""

    colormap: str = "inferno"
    opacity: float = 1.0
    interpolation: str = "nearest"
    shared_scale: bool = False


def results_name(name: str, photo_sha256: str) -> str:
    """Folder name of a photo's results: `<stem>-<first 8 of its sha256>`."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in PurePath(name).stem)
    return f"{plain.strip('.-')[:80] or 'photo'}-{photo_sha256[:8]}"


def npz(arrays: dict[str, object]) -> bytes:
    """Bytes of a compressed .npz of the given arrays, numbers and strings."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    return buffer.getvalue()


def zip_files(files: Iterable[File]) -> bytes:
    """Bytes of a ZIP with fixed times, so that the same content gives the same archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def attention_npz(attention: Attention) -> bytes:
    """`attention.npz`: weights [A,h,w], prefix [A,1+R] and how they came about."""
    return npz(
        {
            "weights": attention.weights,
            "prefix": attention.prefix,
            "grid": attention.geometry.grid,
            "original_hw": attention.geometry.original,
            "resized_hw": attention.geometry.resized,
            "weights_sha256": attention.weights_sha256,
            "precision": attention.precision,
        }
    )


def head_maps(
    attention: Attention, style: Style
) -> tuple[list[str], np.ndarray, list[tuple[float, float]]]:
    """Names, maps [A+2,h,w] scaled to 0..1, and the range each was scaled from.

    The heads come first, then "mean" and "max" over them. With a shared scale all are scaled from
    the range they have together, otherwise each from its own.
    """
    heads = attention.weights
    maps = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    scaled, ranges = draw.normalize(maps, shared=style.shared_scale)
    names = [f"head-{index}" for index in range(attention.num_heads)] + ["mean", "max"]
    return names, scaled, ranges


def head_picture(
    values: np.ndarray,
    attention: Attention,
    photo: np.ndarray,
    style: Style,
    *,
    width: int | None = None,
) -> np.ndarray:
    """One scaled map [h,w] drawn over the photo, at the photo's own size or `width` px wide."""
    colours = draw.heat(
        values,
        attention.geometry,
        colormap=style.colormap,
        interpolation=style.interpolation,
        width=width,
    )
    shown = photo if width is None else draw.shrink(photo, width)
    return draw.overlay(shown, colours, style.opacity)


def attention_files(
    attention: Attention, photo: np.ndarray, mass: float, style: Style, *, random: bool = False
) -> Iterator[File]:
    """Everything `attend` writes for a photo: maps, masks, a contact sheet and the numbers.

    `random` marks every map as made with random weights.
    """

    def finish(picture: np.ndarray) -> np.ndarray:
        return draw.mark_random(picture) if random else picture

    tiles = [("photo", draw.shrink(photo, _TILE_PX))]
    names, scaled, _ = head_maps(attention, style)
    for name, values in zip(names, scaled, strict=True):
        picture = head_picture(values, attention, photo, style)
        yield f"{name}.png", draw.encode_png(finish(picture))
        tiles.append((name, finish(draw.shrink(picture, _TILE_PX))))
    masks = mass_mask(torch.from_numpy(attention.weights), mass).numpy()
    for index, mask in enumerate(masks):
        pixels = attention.geometry.to_photo(mask)
        yield f"mask-{index}.png", draw.encode_png(pixels)
        small = draw.scaled(attention.geometry, _TILE_PX).to_photo(mask)
        tiles.append((f"mask-{index}", draw.mask_overlay(draw.shrink(photo, _TILE_PX), small)))
    scale = "one scale" if style.shared_scale else "each map on its own scale"
    title = f"Last-block attention, {scale}; masks hold {mass:.0%} of each head's attention"
    yield "sheet.png", draw.encode_png(finish(draw.sheet(tiles, title=title)))
    yield "attention.npz", attention_npz(attention)


def mask_files(
    photo: np.ndarray, mask: Mask, *, objects: Sequence[Mask] = (), random: bool = False
) -> Iterator[File]:
    """`mask.png` (0/255, data rather than a picture) and `cutout.png` (RGBA) at the photo's size.

    Where `mask` is of several `objects`, each has its own too, `object-1.png` and so on. `random`
    marks the cut-out as made with random weights.
    """
    if len(objects) > 1:
        for number, one in enumerate(objects, start=1):
            yield f"object-{number}.png", draw.encode_png(one.pixels)
    yield "mask.png", draw.encode_png(mask.pixels)
    cutout = draw.cutout(photo, mask.pixels)
    yield "cutout.png", draw.encode_png(draw.mark_random(cutout) if random else cutout)


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths of [H,W] bool: column by column, starting with the zeros."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def coco_json(items: Iterable[tuple[str, Mask | Sequence[Mask]]]) -> bytes:
    """A COCO annotation file; `items` are (file name, the mask or the masks of a photo's objects).

    Masks are run lengths (exact, holes included), boxes [x, y, width, height] in px. Photos whose
    mask is empty are listed without an annotation.
    """
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (file_name, masks) in enumerate(items, start=1):
        own = [masks] if isinstance(masks, Mask) else masks
        height, width = own[0].pixels.shape
        images.append({"id": number, "file_name": file_name, "height": height, "width": width})
        for mask in own:
            if mask.pixels.any():
                annotations.append(_annotation(len(annotations) + 1, number, mask.pixels))
    categories = [{"id": 1, "name": "object", "supercategory": ""}]
    return json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}, indent=1
    ).encode()


def _annotation(number: int, image: int, pixels: np.ndarray) -> dict[str, object]:
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,  # an object to count; the readers tell run lengths by their form
        "area": int(np.count_nonzero(pixels)),
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "segmentation": {"size": list(pixels.shape), "counts": run_lengths(pixels)},
    }


def patch_colours(photo: np.ndarray, features: PatchFeatures) -> np.ndarray:
    """Mean colour of the photo under each patch, uint8 [N,3], for points drawn as what they are."""
    planes = [features.geometry.to_grid(photo[..., channel]) for channel in range(3)]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8).reshape(-1, 3)


def points_csv(projection: Projection, features: PatchFeatures, colours: np.ndarray) -> bytes:
    """One line a patch: row, column, its box in photo px, mean colour, and its coordinates."""
    axes = "xyz"[: projection.points.shape[1]]
    lines = [f"row,column,top_px,left_px,bottom_px,right_px,red,green,blue,{','.join(axes)}"]
    grid_h, grid_w = features.geometry.grid
    for index, (point, colour) in enumerate(zip(projection.points, colours, strict=True)):
        row, column = divmod(index, grid_w)
        assert row < grid_h
        box = ",".join(f"{value:.1f}" for value in features.geometry.photo_box(row, column))
        coordinates = ",".join(f"{value:.6g}" for value in point)
        lines.append(f"{row},{column},{box},{','.join(map(str, colour))},{coordinates}")
    return ("\n".join(lines) + "\n").encode()


def projection_npz(projection: Projection, features: PatchFeatures) -> bytes:
    """`projection.npz`: points, what made them, and the patch features they came from."""
    return npz(
        {
            "points": projection.points,
            "method": projection.method,
            "parameters": json.dumps(projection.parameters),
            "seed": projection.seed,
            "explained_variance": projection.explained_variance or (),
            "features": features.patches,
            "grid": features.geometry.grid,
            "original_hw": features.geometry.original,
            "weights_sha256": features.weights_sha256,
        }
    )


def projection_files(
    projection: Projection,
    features: PatchFeatures,
    photo: np.ndarray,
    *,
    title: str,
    random: bool = False,
    components: bool = False,
) -> Iterator[File]:
    """Everything `project` writes for a photo.

    `random` marks pictures made with random weights; `components` colours points by their first
    three principal components instead of by the photo.
    """
    yield "pca-rgb.png", draw.encode_png(pca_picture(features, random=random))
    if components:
        colours = pca_rgb(features.patches, features.geometry.grid).reshape(-1, 3)
    else:
        colours = patch_colours(photo, features)
    yield "points.csv", points_csv(projection, features, colours)
    mark = f" ({draw.RANDOM_MARK})" if random else ""
    figure = patch_scatter(projection, features.geometry.grid, colours, title=title + mark)
    yield "points.html", standalone_html(figure)
    yield "projection.npz", projection_npz(projection, features)


def pca_picture(
    features: PatchFeatures, *, random: bool = False, width: int | None = None
) -> np.ndarray:
    """First three principal components of the patches as red, green and blue over the photo's frame."""
    geometry = features.geometry if width is None else draw.scaled(features.geometry, width)
    colours = pca_rgb(features.patches, features.geometry.grid)
    planes = geometry.to_photo(np.moveaxis(colours, -1, 0))
    picture = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return draw.mark_random(picture) if random else picture
