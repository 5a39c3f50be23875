"""Files of projected features: of joint PCA over several photos, and of one photo's projection."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dino.attention import photo
from dino.attention.figures import standalone_html
from dino.attention.photo import PatchFeatures
from dino.features.figures import joint_scatter, patch_scatter
from dino.features.joint import JointPca, foreground_mask, joint_pca
from dino.features.projections import Projection, pca_rgb
from dino.media import draw
from dino.media.geometry import Geometry
from dino.media.printing import Panel, print_figure
from dino.model.backbone import Backbone
from dino.system.files import File, npz

_TILE_PX = 360
_PATCH_COLUMNS = "row,column,top_px,left_px,bottom_px,right_px"


@dataclass(frozen=True)
class JointPhoto:
    """A photo as a network sees it: its patch features, and which are foreground (None: not asked)."""

    name: str
    rgb: np.ndarray
    features: PatchFeatures
    foreground: np.ndarray | None = None


def joint_photo(
    backbone: Backbone, rgb: np.ndarray, *, name: str, size: int, foreground: float | None = None
) -> JointPhoto:
    """Compute features of a photo, and its foreground where a share of the attention is given.

    Raises:
        UserError: too large, or a network without attention where a foreground is asked.
    """
    features = photo.features(backbone, rgb, size=size)
    if foreground is None:
        return JointPhoto(name, rgb, features)
    attention = photo.attend(backbone, rgb, size=size)
    return JointPhoto(name, rgb, features, foreground_mask(attention, foreground))


def paint_jointly(photos: Sequence[JointPhoto]) -> JointPca:
    """Compute joint PCA of the photos, of their foreground where all have one."""
    masks = [entry.foreground for entry in photos if entry.foreground is not None]
    foreground = masks if masks and len(masks) == len(photos) else None
    return joint_pca([entry.features for entry in photos], foreground=foreground)


def joint_picture(
    entry: JointPhoto, colours: np.ndarray, *, width: int | None = None
) -> np.ndarray:
    """Paint a photo's patches in the joint colours, uint8, of the photo's shape at most `width` px
    wide."""
    height, full = (entry.rgb if width is None else draw.shrink(entry.rgb, width)).shape[:2]
    return _paint(colours, replace(entry.features.geometry, original=(height, full)))


def joint_files(photos: Sequence[JointPhoto], *, random: bool = False) -> Iterator[File]:
    """Make everything `joint` writes; `random` marks pictures made with random weights."""
    joint = paint_jointly(photos)
    yield "joint-pca.png", joint_sheet(photos, joint, random=random)
    yield "joint-points.csv", joint_csv(photos, joint)
    mark = draw.RANDOM_MARK if random else ""
    figure = joint_scatter(joint, [entry.name for entry in photos], title=mark)
    yield "joint-points.html", standalone_html(figure)
    yield "joint.npz", joint_npz(photos, joint)


def joint_sheet(photos: Sequence[JointPhoto], joint: JointPca, *, random: bool = False) -> bytes:
    """Draw a PNG of each photo above its patches in the joint colours."""
    columns = min(len(photos), 4)
    painted = list(zip(photos, joint.colours, strict=True))
    tiles = []
    for start in range(0, len(photos), columns):
        row = painted[start : start + columns]
        blank = [("", np.full((8, _TILE_PX, 3), 255, np.uint8))] * (columns - len(row))
        tiles += [(entry.name, draw.shrink(entry.rgb, _TILE_PX)) for entry, _ in row] + blank
        tiles += [("", joint_picture(*pair, width=_TILE_PX)) for pair in row] + blank
    title = f"One basis for {len(photos)} photos: equal colours are alike to the network"
    picture = draw.sheet(tiles, columns=columns, tile_px=_TILE_PX, title=title)
    return draw.encode_png(draw.mark_random(picture) if random else picture)


def joint_csv(photos: Sequence[JointPhoto], joint: JointPca) -> bytes:
    """Write one line a patch: photo, row, column, its box in photo px, whether it took part, its joint
    colour and its three scores."""
    lines = [f"photo,{_PATCH_COLUMNS},foreground,red,green,blue,x,y,z"]
    for number, entry in enumerate(photos):
        name = entry.name.replace('"', '""')
        colours = joint.colours[number].reshape(-1, 3)
        kept = joint.kept[number].ravel()
        patches = _patch_cells(entry.features)
        for index, (patch, scores) in enumerate(zip(patches, joint.scores[number], strict=True)):
            colour = ",".join(map(str, colours[index]))
            lines.append(f'"{name}",{patch},{int(kept[index])},{colour},{_place(scores)}')
    return ("\n".join(lines) + "\n").encode()


def joint_npz(photos: Sequence[JointPhoto], joint: JointPca) -> bytes:
    """Pack `joint.npz`: patches of all photos one after the other, and the basis.

    `photo` [N] numbers `photos`; `scores` [N,3], `colours` [N,3], `foreground` [N], `features` [N,D];
    `grids` [P,2]; `mean` [D], `components` [3,D], `explained_variance` [3].
    """
    return npz(
        {
            "photos": [entry.name for entry in photos],
            "grids": [entry.features.geometry.grid for entry in photos],
            "photo": np.repeat(np.arange(len(photos)), [len(s) for s in joint.scores]),
            "scores": np.concatenate(joint.scores),
            "colours": np.concatenate([colours.reshape(-1, 3) for colours in joint.colours]),
            "foreground": np.concatenate([kept.ravel() for kept in joint.kept]),
            "features": np.concatenate([entry.features.patches for entry in photos]),
            "mean": joint.basis.mean,
            "components": joint.basis.components,
            "explained_variance": joint.basis.explained_variance,
            "weights_sha256": photos[0].features.weights_sha256,
        }
    )


def patch_colours(photo: np.ndarray, features: PatchFeatures) -> np.ndarray:
    """Average the colour of the photo under each patch, uint8 [N,3], for points drawn as what they
    are."""
    planes = [features.geometry.to_grid(photo[..., channel]) for channel in range(3)]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8).reshape(-1, 3)


def points_csv(projection: Projection, features: PatchFeatures, colours: np.ndarray) -> bytes:
    """Write one line a patch: row, column, its box in photo px, mean colour, and its coordinates."""
    axes = ",".join("xyz"[: projection.points.shape[1]])
    lines = [f"{_PATCH_COLUMNS},red,green,blue,{axes}"]
    for patch, colour, point in zip(
        _patch_cells(features), colours, projection.points, strict=True
    ):
        lines.append(f"{patch},{','.join(map(str, colour))},{_place(point)}")
    return ("\n".join(lines) + "\n").encode()


def _patch_cells(features: PatchFeatures) -> Iterator[str]:
    """Write `_PATCH_COLUMNS` of each patch, row by row."""
    geometry = features.geometry
    for row, column in np.ndindex(*geometry.grid):
        box = ",".join(f"{value:.1f}" for value in geometry.photo_box(row, column))
        yield f"{row},{column},{box}"


def _place(point: np.ndarray) -> str:
    return ",".join(f"{value:.6g}" for value in point)


def projection_npz(projection: Projection, features: PatchFeatures) -> bytes:
    """Pack `projection.npz`: points, what made them, and the patch features they came from."""
    return npz(
        {
            "points": projection.points,
            "method": projection.method,
            "parameters": json.dumps(projection.parameters),
            "seed": projection.seed,
            "explained_variance": projection.explained_variance,
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
    picture: np.ndarray | None = None,
) -> Iterator[File]:
    """Make everything `project` writes for a photo.

    `random` marks pictures made with random weights; `components` colours points by their first
    three principal components instead of by the photo; `picture` is `pca-rgb.png`, in place of patches.
    """
    if picture is None:
        picture = pca_picture(features)
    yield "pca-rgb.png", draw.encode_png(draw.mark_random(picture) if random else picture)
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
    """Paint the first three principal components of the patches as red, green and blue over the
    photo's frame."""
    colours = pca_rgb(features.patches, features.geometry.grid)
    geometry = features.geometry if width is None else draw.scaled(features.geometry, width)
    picture = _paint(colours, geometry)
    return draw.mark_random(picture) if random else picture


def _paint(colours: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Give every pixel of a photo the colour of its patch: [h,w,3] to [H,W,3]."""
    planes = geometry.to_photo(np.moveaxis(colours, -1, 0))
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def projection_figure(
    picture: np.ndarray,
    features: PatchFeatures,
    photo: np.ndarray,
    *,
    kind: str,
    scale: int = 2,
    caption: str = "",
    made_by: Sequence[str] = (),
    shifts: int = 1,
) -> bytes:
    """Print a photo beside its features' first three components as colours.

    Args:
        picture: uint8 [H,W,3], as in `projection_files`.
        shifts: grids along each side that `features` were put together from.
        kind, scale, caption, made_by: as in `dino.media.printing.print_figure`.
    """
    rows, columns = features.geometry.grid
    settings = [
        *made_by,
        f"weights {features.weights_sha256[:8]}",
        f"{columns // shifts}×{rows // shifts} patches"
        + (f", {shifts}×{shifts} grids" if shifts > 1 else ""),
        "components 1 to 3 of PCA as red, green and blue, 1st to 99th percentile",
        features.precision,
    ]
    panels = [Panel(photo, "photo"), Panel(picture, "features")]
    return print_figure(panels, kind=kind, scale=scale, caption=caption, made_by=settings)
