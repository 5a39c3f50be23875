"""How commands draw: the look of maps, maps at the photo's pixels, figures to print."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dino.cli.run import Colormap

if TYPE_CHECKING:
    from dino.attention.files import Style

# Choices of the library, spelled again because its own lie beside OpenCV; tests hold that they agree.
Upsample = StrEnum("Upsample", ["guided", "bicubic", "nearest"])
Scale = StrEnum("Scale", ["robust", "full", "shared"])
Under = StrEnum("Under", ["photo", "grey"])
NEWEST_LOOK = 2

_UPSAMPLE_HELP = (
    "How patches become pixels. guided: along the photo's edges; bicubic: smoothly; nearest: whole "
    "patches."
)
Shifts = Annotated[
    int,
    typer.Option(
        help="Grids along each side that are put together into a finer one: N² forwards.",
        min=1,
        max=4,
    ),
]


@dataclass(frozen=True)
class Look:
    """How maps are drawn: a numbered look, and what differs from it."""

    look: Annotated[
        int,
        typer.Option(
            help="Defaults of the settings below. 1: whole patches, from the least value to the "
            "largest, the map alone; 2: smooth, robust, over the photo's greys.",
            min=1,
            max=NEWEST_LOOK,
        ),
    ] = NEWEST_LOOK
    colormap: Annotated[Colormap | None, typer.Option(help="Colours. Default: inferno.")] = None
    opacity: Annotated[
        float | None,
        typer.Option(
            help="1: the map alone; less: over the photo. Default: 0.65.", min=0.0, max=1.0
        ),
    ] = None
    under: Annotated[
        Under | None,
        typer.Option(help="What lies below: the photo, or its greys. Default: grey."),
    ] = None
    scale: Annotated[
        Scale | None,
        typer.Option(
            help="Where the last colour lies. robust: at the 98.5th percentile of a map's patches; full: "
            "at its largest; shared: at the largest of all maps. Default: robust."
        ),
    ] = None
    upsample: Annotated[
        Upsample | None, typer.Option(help=f"{_UPSAMPLE_HELP} Default: bicubic.")
    ] = None
    smooth: Annotated[
        bool, typer.Option("--smooth", help="Blend between patches, in straight lines.")
    ] = False
    shared_scale: Annotated[
        bool,
        typer.Option("--shared-scale", help="One scale for all heads instead of each its own."),
    ] = False
    shifts: Shifts = 1
    pixel_masks: Annotated[
        bool,
        typer.Option(
            "--pixel-masks", help="Masks of the fewest pixels that hold --mass, not patches."
        ),
    ] = False
    sharp: Annotated[
        bool,
        typer.Option("--sharp", help="As --shifts 2 --upsample guided --pixel-masks."),
    ] = False

    @property
    def num_shifts(self) -> int:
        """Count the grids along each side."""
        return max(self.shifts, 2) if self.sharp else self.shifts

    def style(self) -> "Style":
        """Make the style of the maps.

        Raises:
            UserError: two ways to blend.
        """
        from dataclasses import replace

        from dino.attention.files import LOOKS
        from dino.errors import UserError

        if self.smooth and (self.upsample or self.sharp):
            raise UserError("got --smooth and another way from patches to pixels; leave one out")
        changes: dict[str, Any] = {}
        for name in ("colormap", "opacity", "under"):
            if (value := getattr(self, name)) is not None:
                changes[name] = value if name == "opacity" else str(value)
        if self._interpolation:
            changes["interpolation"] = self._interpolation
        if self.scale is not None:
            changes["scale"] = "robust" if self.scale is Scale.robust else "full"
        if self.shared_scale or self.scale is Scale.shared:
            changes["shared_scale"] = True
        return replace(LOOKS[self.look], **changes)

    def mask_upsample(self) -> str | None:
        """Say how maps become pixels for masks; None where masks are of patches."""
        if not (self.pixel_masks or self.sharp):
            return None
        interpolation = self.style().interpolation
        return "bicubic" if interpolation == "bilinear" else interpolation

    @property
    def _interpolation(self) -> str:
        if self.smooth:
            return "bilinear"
        return str(self.upsample or ("guided" if self.sharp else ""))


@dataclass(frozen=True)
class Printing:
    """A figure to print: the options of every command that makes one."""

    figure: Annotated[
        str | None,
        typer.Option(help="A figure to print as well: a file name ending in .png, .pdf or .svg."),
    ] = None
    figure_scale: Annotated[
        int,
        typer.Option(help="Dots of the figure's pictures: times 150 an inch.", min=1, max=4),
    ] = 2
    caption: Annotated[str, typer.Option(help="Text below the figure.")] = ""

    def kind(self) -> str | None:
        """Read the kind of figure; None where none is asked for.

        Raises:
            UserError: another ending, no matplotlib, or settings of a figure without one.
        """
        from dino.errors import UserError
        from dino.media.printing import figure_kind

        if self.figure is None:
            if self.caption:
                raise UserError("--caption stands below a figure; name one with --figure")
            return None
        return figure_kind(self.figure)


@dataclass(frozen=True)
class MapPrinting(Printing):
    """Which maps a figure shows, and films of them."""

    figure_head: Annotated[
        str | None,
        typer.Option(
            help="One map in the figure, in place of all heads: a number, mean or max; the map of "
            "--animate blocks too."
        ),
    ] = None
    figure_alone: Annotated[
        bool,
        typer.Option(
            "--figure-alone",
            help="The figure is the map of --figure-head (or the mean) alone, transparent where it is low.",
        ),
    ] = False
    animate: Annotated[
        str | None,
        typer.Option(help="A film through heads or blocks as well: heads.gif, blocks.mp4 …"),
    ] = None
