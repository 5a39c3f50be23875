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
from dino.model.backbone import Backbone
from dino.system.files import File, npz

_TILE_PX = 360


@dataclass(frozen=True)
class Look:
    """A photo as a network sees it: its patch features, and which are foreground (None: not asked)."""

    name: str
    rgb: np.ndarray
    features: PatchFeatures
    foreground: np.ndarray | None = None


def look(
    backbone: Backbone, rgb: np.ndarray, *, name: str, size: int, foreground: float | None = None
) -> Look:
    """Compute features of a photo, and its foreground where a share of the attention is given.

    Raises:
        UserError: too large, or a network without attention where a foreground is asked.
    """
    features = photo.features(backbone, rgb, size=size)
    if foreground is None:
        return Look(name, rgb, features)
    attention = photo.attend(backbone, rgb, size=size)
    return Look(name, rgb, features, foreground_mask(attention, foreground))


def paint(looks: Sequence[Look]) -> JointPca:
    """Compute joint PCA of the photos, of their foreground where all have one."""
    masks = [look.foreground for look in looks if look.foreground is not None]
    foreground = masks if masks and len(masks) == len(looks) else None
    return joint_pca([look.features for look in looks], foreground=foreground)


def joint_picture(look: Look, colours: np.ndarray, *, width: int | None = None) -> np.ndarray:
    """Paint a photo's patches in the joint colours, uint8, of the photo's shape at most `width` px wide."""
    height, full = (look.rgb if width is None else draw.shrink(look.rgb, width)).shape[:2]
    geometry = replace(look.features.geometry, original=(height, full))
    return np.ascontiguousarray(np.moveaxis(geometry.to_photo(np.moveaxis(colours, -1, 0)), 0, -1))


def joint_files(looks: Sequence[Look], *, random: bool = False) -> Iterator[File]:
    """Make everything `joint` writes; `random` marks pictures made with random weights."""
    joint = paint(looks)
    yield "joint-pca.png", joint_sheet(looks, joint, random=random)
    yield "joint-points.csv", joint_csv(looks, joint)
    mark = draw.RANDOM_MARK if random else ""
    figure = joint_scatter(joint, [look.name for look in looks], title=mark)
    yield "joint-points.html", standalone_html(figure)
    yield "joint.npz", joint_npz(looks, joint)


def joint_sheet(looks: Sequence[Look], joint: JointPca, *, random: bool = False) -> bytes:
    """Draw a PNG of each photo above its patches in the joint colours."""
    columns = min(len(looks), 4)
    tiles = []
    for start in range(0, len(looks), columns):
        row = list(zip(looks, joint.colours, strict=True))[start : start + columns]
        blank = [("", np.full((8, _TILE_PX, 3), 255, np.uint8))] * (columns - len(row))
        tiles += [(view.name, draw.shrink(view.rgb, _TILE_PX)) for view, _ in row] + blank
        tiles += [
            ("", joint_picture(view, colours, width=_TILE_PX)) for view, colours in row
        ] + blank
    title = f"One basis for {len(looks)} photos: equal colours are alike to the network"
    picture = draw.sheet(tiles, columns=columns, tile_px=_TILE_PX, title=title)
    return draw.encode_png(draw.mark_random(picture) if random else picture)


def joint_csv(looks: Sequence[Look], joint: JointPca) -> bytes:
    """Write one line a patch: photo, row, column, its box in photo px, whether it took part, its joint
    colour and its three scores."""
    head = "photo,row,column,top_px,left_px,bottom_px,right_px,foreground,red,green,blue,x,y,z"
    lines = [head]
    for number, look in enumerate(looks):
        geometry, name = look.features.geometry, look.name.replace('"', '""')
        for index, scores in enumerate(joint.scores[number]):
            row, column = divmod(index, geometry.grid[1])
            box = ",".join(f"{value:.1f}" for value in geometry.photo_box(row, column))
            colour = ",".join(map(str, joint.colours[number][row, column]))
            inside = int(joint.kept[number][row, column])
            place = ",".join(f"{value:.6g}" for value in scores)
            lines.append(f'"{name}",{row},{column},{box},{inside},{colour},{place}')
    return ("\n".join(lines) + "\n").encode()


def joint_npz(looks: Sequence[Look], joint: JointPca) -> bytes:
    """Pack `joint.npz`: patches of all photos one after the other, and the basis.

    `photo` [N] numbers `photos`; `scores` [N,3], `colours` [N,3], `foreground` [N], `features` [N,D];
    `grids` [P,2]; `mean` [D], `components` [3,D], `explained_variance` [3].
    """
    return npz(
        {
            "photos": [look.name for look in looks],
            "grids": [look.features.geometry.grid for look in looks],
            "photo": np.repeat(np.arange(len(looks)), [len(s) for s in joint.scores]),
            "scores": np.concatenate(joint.scores),
            "colours": np.concatenate([colours.reshape(-1, 3) for colours in joint.colours]),
            "foreground": np.concatenate([kept.ravel() for kept in joint.kept]),
            "features": np.concatenate([look.features.patches for look in looks]),
            "mean": joint.basis.mean,
            "components": joint.basis.components,
            "explained_variance": joint.basis.explained_variance,
            "weights_sha256": looks[0].features.weights_sha256,
        }
    )


def patch_colours(photo: np.ndarray, features: PatchFeatures) -> np.ndarray:
    """Average the colour of the photo under each patch, uint8 [N,3], for points drawn as what they are."""
    planes = [features.geometry.to_grid(photo[..., channel]) for channel in range(3)]
    return np.rint(np.stack(planes, axis=-1)).clip(0, 255).astype(np.uint8).reshape(-1, 3)


def points_csv(projection: Projection, features: PatchFeatures, colours: np.ndarray) -> bytes:
    """Write one line a patch: row, column, its box in photo px, mean colour, and its coordinates."""
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
    """Pack `projection.npz`: points, what made them, and the patch features they came from."""
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
    """Make everything `project` writes for a photo.

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
    """Paint the first three principal components of the patches as red, green and blue over the photo's frame."""
    geometry = features.geometry if width is None else draw.scaled(features.geometry, width)
    colours = pca_rgb(features.patches, features.geometry.grid)
    planes = geometry.to_photo(np.moveaxis(colours, -1, 0))
    picture = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return draw.mark_random(picture) if random else picture
