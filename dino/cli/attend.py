"""`attend`: what each head attends to, in the last block or in several, a folder of results a photo.

python -m dino attend photo.jpg --layers all --queries cls,12:7 --rollout
python -m dino attend photo.jpg --sharp --figure heads.pdf
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dino.cli import run
from dino.cli.drawing import Look, MapPrinting

if TYPE_CHECKING:
    import numpy as np

    from dino.attention.files import Style
    from dino.attention.photo import PhotoAttention
    from dino.model.backbone import Backbone
    from dino.model.queries import Query
    from dino.system.files import File


@run.with_options
def attend(
    photos: run.Photos,
    loading: run.Loading = run.Loading(),
    size: run.Size = 480,
    mass: run.Mass = run.DEFAULT_MASS,
    out: run.Out = Path("out"),
    look: Look = Look(),
    layers: Annotated[
        str | None,
        typer.Option(
            help="Blocks to look into, from 0: all, or numbers such as 0,5,11. Default: the last."
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Whose attention is drawn: cls, mean (of all patches' rows), register:N, or row:column of "
            "a patch, such as cls,12:7. Default: cls, or mean of a network without a CLS token."
        ),
    ] = None,
    rollout: Annotated[
        bool,
        typer.Option("--rollout", help="Attention rollout from the input to each layer as well."),
    ] = False,
    qkv: Annotated[
        bool, typer.Option("--qkv", help="Queries, keys and values of all tokens into layers.npz.")
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Draw q·k/√d in place of its softmax, and save both.")
    ] = False,
    pictures: Annotated[
        bool | None,
        typer.Option(
            "--pictures/--no-pictures",
            help="Maps and masks at the photo's size of each block and query, a folder each. Default: "
            "unless all blocks are asked for.",
        ),
    ] = None,
    printing: MapPrinting = MapPrinting(),
    fit: run.FitOption = run.Fit.floor,
) -> None:
    """Draw what each head of the last block attends to.

    Writes maps, masks, a contact sheet and attention.npz, a folder a photo; with --layers,
    --queries, --rollout, --qkv or --logits a sheet of layers by heads a query, layers.npz, and maps and
    masks of each block and query.
    """
    run.import_torch()
    from dino.attention.mass import check_mass
    from dino.errors import UserError
    from dino.model.parallel import photos_at_once
    from dino.model.queries import parse_query

    check_mass(mass)
    is_layered = layers is not None or queries is not None or rollout or qkv or logits
    asked = [-1]
    takes_all = layers is not None and layers.strip().lower() == "all"
    if layers is not None and not takes_all:
        asked = run.numbers(layers, int, "--layers", expected="all, or numbers such as 0,5,11")
    named = None if queries is None else [parse_query(text) for text in queries.split(",")]
    if look.num_shifts > 1 and (rollout or qkv):
        raise UserError("--rollout and --qkv are of one grid; leave --shifts and --sharp out")
    style, figure_kind = look.style(), printing.kind()
    _check_printing(printing)
    found = run.find_photos(photos)
    backbone = loading.load()
    if backbone.has_attention and not backbone.num_class and named is None:
        run.print_status(
            f"{backbone.name} has no CLS token: what is drawn is the mean of all patches' rows "
            "(--queries mean)"
        )
    work = _Work(backbone, size, fit.value, mass, style, look, printing, figure_kind)
    # Of maps at the pixels of a photo one at a time: they take far more memory than a forward.
    is_large = look.num_shifts > 1 or look.mask_upsample() is not None
    at_once = 1 if is_large else photos_at_once(backbone, size)
    if not is_layered:
        run.write_each_photo(found, out, work.last_block, at_once=at_once)
        return
    backbone.check_attention()
    numbers = range(backbone.depth) if takes_all else asked
    rows = _Rows(
        layers=tuple(dict.fromkeys(backbone.layer_index(number) for number in numbers)),
        queries=tuple(dict.fromkeys(named or [backbone.default_query])),
        rollout=rollout,
        qkv=qkv,
        logits=logits,
        pictures=not takes_all if pictures is None else pictures,
    )
    # One at a time: all layers of one photo are large, and measured against the memory that is free.
    run.write_each_photo(found, out, lambda rgb, _: work.any_block(rgb, rows), at_once=1)


def _check_printing(printing: MapPrinting) -> None:
    """Refuse what cannot be animated or printed before anything slow is done."""
    from dino.errors import UserError

    if printing.animate is not None:
        from dino.attention.printed import walk_name

        walk_name(printing.animate)
    if printing.figure_alone and printing.figure is None:
        raise UserError("--figure-alone says what a figure shows; name one with --figure")
    if printing.figure_alone and printing.caption:
        raise UserError("--figure-alone is a map without text; leave --caption out")
    if printing.figure_head is not None and not (printing.figure or printing.animate):
        raise UserError("--figure-head says what a figure shows; name one with --figure")


@dataclass(frozen=True)
class _Rows:
    """Which rows of attention are asked for, beside those of the last block."""

    layers: tuple[int, ...]
    queries: "tuple[Query, ...]"
    rollout: bool
    qkv: bool
    logits: bool
    pictures: bool


@dataclass(frozen=True)
class _Work:
    """What is made of a photo, by which network, and how it is drawn."""

    backbone: "Backbone"
    size: int
    fit: str
    mass: float
    style: "Style"
    look: Look
    printing: MapPrinting
    figure_kind: str | None

    def last_block(self, rgb: "np.ndarray", _: str) -> "Iterator[File]":
        """Make the files of the last block."""
        from dino.attention import files, photo
        from dino.attention.photo import PROBABILITIES
        from dino.attention.pixels import attend_finely

        if self.look.num_shifts > 1:
            attention = attend_finely(
                self.backbone, rgb, size=self.size, shifts=self.look.num_shifts, fit=self.fit
            )
        else:
            attention = photo.attend(self.backbone, rgb, size=self.size, fit=self.fit)
        yield from files.attention_files(
            attention,
            rgb,
            self.mass,
            self.style,
            mask_upsample=self.look.mask_upsample(),
            random=self.backbone.is_random,
        )
        yield from self._figure(attention, rgb, PROBABILITIES)
        yield from self._walk(attention, rgb)

    def any_block(self, rgb: "np.ndarray", rows: _Rows) -> "Iterator[File]":
        """Make the files of other blocks and queries."""
        from dino.attention import files
        from dino.attention.photo import LOGITS, PROBABILITIES, ROLLOUT

        attention = self._rows(rgb, rows)
        random = self.backbone.is_random
        yield from files.layers_files(attention, rgb, self.style, logits=rows.logits, random=random)
        drawn = LOGITS if rows.logits else PROBABILITIES
        kinds = (drawn, ROLLOUT) if rows.rollout else (drawn,)
        if rows.pictures:
            yield from files.block_files(
                attention,
                rgb,
                self.mass,
                self.style,
                kinds=kinds,
                mask_upsample=self.look.mask_upsample(),
                random=random,
            )
        for row, layer in enumerate(attention.layers):
            for column, query in enumerate(attention.queries):
                chosen = attention.select(row, column, kinds[-1])
                for name, content in self._figure(chosen, rgb, kinds[-1]):
                    yield f"{files.block_folder(layer, query)}/{name}", content
        yield from self._walk(attention, rgb)

    def _rows(self, rgb: "np.ndarray", rows: _Rows) -> "PhotoAttention":
        from dino.attention import layers as deep
        from dino.attention.pixels import attend_finely

        if self.look.num_shifts > 1:
            return attend_finely(
                self.backbone,
                rgb,
                size=self.size,
                shifts=self.look.num_shifts,
                layers=rows.layers,
                queries=rows.queries,
                logits=rows.logits,
                fit=self.fit,
            )
        return deep.look(
            self.backbone,
            deep.trace(self.backbone, rgb, size=self.size, fit=self.fit),
            layers=rows.layers,
            queries=rows.queries,
            rolled=rows.rollout,
            projected=rows.qkv,
        )

    def _figure(
        self, attention: "PhotoAttention", rgb: "np.ndarray", kind: str
    ) -> "Iterator[File]":
        """Print the maps of one block and query, if a figure is asked for."""
        if self.printing.figure is None or self.figure_kind is None:
            return
        from dino.attention.printed import Figure, attention_figure

        figure = Figure(
            kind=self.figure_kind,
            scale=self.printing.figure_scale,
            head=self.printing.figure_head,
            alone=self.printing.figure_alone,
            caption=self.printing.caption,
            network=self.backbone.name,
            random=self.backbone.is_random,
        )
        yield self.printing.figure, attention_figure(attention, rgb, self.style, figure, kind=kind)

    def _walk(self, attention: "PhotoAttention", rgb: "np.ndarray") -> "Iterator[File]":
        """Make a film through heads or blocks, if one is asked for."""
        if self.printing.animate is None:
            return
        from dino.attention.printed import walk_file, walk_name

        through, kind = walk_name(self.printing.animate)
        if through == "blocks" and len(attention.layers) == 1:
            every = _Rows(
                layers=tuple(range(self.backbone.depth)),
                queries=attention.queries,
                rollout=False,
                qkv=False,
                logits=False,
                pictures=False,
            )
            attention = self._rows(rgb, every)
        yield (
            self.printing.animate,
            walk_file(
                attention,
                rgb,
                self.style,
                through=through,
                kind=kind,
                head=self.printing.figure_head or "mean",
                random=self.backbone.is_random,
            ),
        )
