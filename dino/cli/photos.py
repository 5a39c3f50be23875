"""`attend`, `segment` and `project`: photos in, a folder of results a photo out."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli.attend import Layers, Logits, Queries, Rollout, WithProjections, layered
from dino.cli.each_photo import each_photo, say
from dino.cli.options import (
    Colormap,
    Combine,
    Device,
    Fit,
    FitOption,
    Key,
    Keys,
    KeysOption,
    MaskMethod,
    Mass,
    Method,
    Out,
    Photos,
    Points,
    Precision,
    PrecisionOption,
    Refine,
    Size,
    Weights,
)
from dino.cli.progress import show_share
from dino.cli.segment import (
    Clusters,
    FillHoles,
    Heads,
    Largest,
    MethodOption,
    MinArea,
    Objects,
    RefineOption,
    parse_heads,
)

if TYPE_CHECKING:
    import numpy as np

    from dino.masks.settings import Mask
    from dino.model.backbone import Backbone
    from dino.system.files import File


def attend(
    photos: Photos,
    weights: Weights = None,
    size: Size = 480,
    mass: Mass = 0.6,
    out: Out = Path("out"),
    colormap: Annotated[Colormap, typer.Option(help="Colours of the maps.")] = Colormap.inferno,
    opacity: Annotated[
        float, typer.Option(help="1: the map alone; less: over the photo.", min=0.0, max=1.0)
    ] = 1.0,
    smooth: Annotated[bool, typer.Option("--smooth", help="Blend between patches.")] = False,
    shared_scale: Annotated[
        bool,
        typer.Option("--shared-scale", help="One scale for all heads instead of each its own."),
    ] = False,
    layers: Layers = None,
    queries: Queries = None,
    rollout: Rollout = False,
    qkv: WithProjections = False,
    logits: Logits = False,
    fit: FitOption = Fit.floor,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Draw what each head of the last block attends to.

    Writes maps, masks, a contact sheet and attention.npz, a folder a photo; with --layers,
    --queries, --rollout, --qkv or --logits a sheet of layers by heads a query and layers.npz.
    """
    from dino.attention import files, photo
    from dino.attention.mass import check_mass
    from dino.model.parallel import photos_at_once

    check_mass(mass)
    request = layered(layers, queries, rollout=rollout, qkv=qkv, logits=logits)
    found = _find(photos)
    backbone = _load(weights, key, device, precision)
    style = files.Style(
        colormap=colormap.value,
        opacity=opacity,
        interpolation="bilinear" if smooth else "nearest",
        shared_scale=shared_scale,
    )

    if request is not None:
        wanted = request.layers_of(backbone)
        # One at a time: all layers of one photo are large, and measured against the memory that is free.
        each_photo(
            found,
            out,
            lambda rgb, _: request.files(backbone, rgb, wanted, size, fit.value, style),
            at_once=1,
        )
        return

    def results(rgb: "np.ndarray", _: str) -> Iterator["File"]:
        attention = photo.attend(backbone, rgb, size=size, fit=fit.value)
        return files.attention_files(attention, rgb, mass, style, random=backbone.is_random)

    each_photo(found, out, results, at_once=photos_at_once(backbone, size))


def segment(
    photos: Photos,
    weights: Weights = None,
    size: Size = 480,
    mass: Mass = 0.6,
    out: Out = Path("out"),
    heads: Heads = None,
    combine: Annotated[
        Combine, typer.Option(help="union of the heads' masks, or the mask of their mean.")
    ] = Combine.mean,
    method: MethodOption = MaskMethod.mass,
    clusters: Clusters = 4,
    objects: Objects = 3,
    keys: KeysOption = Keys.auto,
    min_area: MinArea = 0.0,
    largest: Largest = False,
    fill_holes: FillHoles = False,
    refine: RefineOption = Refine.none,
    fit: FitOption = Fit.floor,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Cut out what the heads attend to, or the objects in a photo.

    Writes mask.png and cutout.png, a folder a photo, and one coco.json; of several objects
    object-1.png and so on too.
    """
    from dino.attention.mass import check_heads
    from dino.masks import coco, files
    from dino.masks.discovery.methods import table_bytes
    from dino.masks.proposals import MaskSettings, merge_masks, propose_objects
    from dino.model.parallel import photos_at_once
    from dino.system.files import write_atomically

    settings = MaskSettings(
        size=size,
        mass=mass,
        heads=parse_heads(heads),
        combine=combine.value,
        method=method.value,
        clusters=clusters,
        objects=objects,
        keys=keys.value,
        largest=largest,
        fill_holes=fill_holes,
        min_area=min_area,
        refine=refine.value,
        fit=fit.value,
    )
    found = _find(photos)
    backbone = _load(weights, key, device, precision)
    if settings.heads is not None and backbone.has_attention:
        check_heads(settings.heads, backbone.num_heads)
    masks: dict[str, list[Mask]] = {}

    def results(rgb: "np.ndarray", name: str) -> Iterator["File"]:
        found = propose_objects(backbone, rgb, settings)
        mask = merge_masks(found, (rgb.shape[0], rgb.shape[1]), settings)
        masks[name] = found or [mask]
        return files.mask_files(rgb, mask, objects=found, random=backbone.is_random)

    def finish(names: list[str]) -> None:
        listed = [(name, masks[name]) for name in names]
        write_atomically(coco.coco_json(listed), out / "coco.json")

    tables = table_bytes((size // backbone.patch_size) ** 2) if settings.discovers else 0
    at_once = photos_at_once(backbone, size, beside=tables)
    each_photo(found, out, results, at_once=at_once, finish=finish)


def project(
    photos: Photos,
    weights: Weights = None,
    size: Size = 480,
    method: Annotated[Method, typer.Option(help="pca, or tsne (slower).")] = Method.pca,
    dims: Annotated[int, typer.Option(help="Dimensions of the points.", min=2, max=3)] = 2,
    perplexity: Annotated[float, typer.Option(help="t-SNE's neighbourhood size, in points.")] = 30,
    seed: Annotated[int, typer.Option(help="Seed of t-SNE.", min=0)] = 0,
    points: Annotated[
        Points, typer.Option(help="Points coloured as the photo's patches or as its components.")
    ] = Points.photo,
    out: Out = Path("out"),
    fit: FitOption = Fit.floor,
    key: Key = "teacher",
    device: Device = "auto",
    precision: PrecisionOption = Precision.auto,
) -> None:
    """Project the features of each photo's patches.

    Writes pca-rgb.png, points.csv, points.html and projection.npz, a folder a photo.
    """
    from dino.attention import photo
    from dino.features import files
    from dino.features.projections import project as project_features
    from dino.model.parallel import photos_at_once

    found = _find(photos)
    backbone = _load(weights, key, device, precision)

    def results(rgb: "np.ndarray", name: str) -> Iterator["File"]:
        features = photo.features(backbone, rgb, size=size, fit=fit.value)
        projection = project_features(
            features.patches,
            method=method.value,
            dims=dims,
            seed=seed,
            perplexity=perplexity,
            progress=show_share if method is Method.tsne else None,
        )
        return files.projection_files(
            projection,
            features,
            rgb,
            title=name,
            random=backbone.is_random,
            components=points is Points.components,
        )

    # t-SNE takes all cores by itself, and tells how far it is.
    at_once = 1 if method is Method.tsne else photos_at_once(backbone, size)
    each_photo(found, out, results, at_once=at_once)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the command line."""
    for command in (attend, segment, project):
        app.command()(command)


def _load(weights: str | None, key: str, device: str, precision: Precision) -> "Backbone":
    from dino.weights import default_source, load

    backbone = load(weights or default_source(), key=key, device=device, precision=precision.value)
    say(f"{backbone.name}: {backbone.description} [{backbone.device}, {backbone.precision}]")
    return backbone


def _find(paths: list[Path]) -> list[Path]:
    """The photos named or below the folders named, before anything slow is done."""
    from dino.errors import UserError
    from dino.media.images import find_images

    found = find_images(paths)
    if not found:
        raise UserError(
            f"no photos in {', '.join(map(str, paths))}; name photos, or folders with some"
        )
    return found
