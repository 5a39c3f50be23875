"""What `attend` takes to look further than the last block's CLS row.

python -m dino attend photo.jpg --layers all --queries cls,12:7 --rollout
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from dino.attention.files import Style
    from dino.model.backbone import Backbone
    from dino.model.queries import Query
    from dino.system.files import File

Layers = Annotated[
    str | None,
    typer.Option(
        help="Blocks to look into, from 0: all, or numbers such as 0,5,11. Default: the last.",
        show_default=False,
    ),
]
Queries = Annotated[
    str | None,
    typer.Option(
        help="Tokens whose attention is drawn: cls, register:N, or row:column of a patch, such as "
        "cls,12:7. Default: cls.",
        show_default=False,
    ),
]
Rollout = Annotated[
    bool, typer.Option("--rollout", help="Attention rollout from the input to each layer as well.")
]
WithProjections = Annotated[
    bool, typer.Option("--qkv", help="Queries, keys and values of all tokens into layers.npz.")
]
Logits = Annotated[
    bool, typer.Option("--logits", help="Draw q·k/√d in place of its softmax, and save both.")
]


@dataclass(frozen=True)
class Layered:
    """What was asked for: `layers` None for all of them."""

    layers: tuple[int, ...] | None
    queries: "tuple[Query, ...]"
    rollout: bool
    qkv: bool
    logits: bool

    def layers_of(self, backbone: "Backbone") -> tuple[int, ...]:
        """The numbers of the asked blocks.

        Raises:
            UserError: one that does not exist, or a network without attention.
        """
        backbone.check_attention()
        asked = range(backbone.depth) if self.layers is None else self.layers
        return tuple(dict.fromkeys(backbone.layer_index(layer) for layer in asked))

    def files(
        self,
        backbone: "Backbone",
        rgb: "np.ndarray",
        layers: tuple[int, ...],
        size: int,
        fit: str,
        style: "Style",
    ) -> "Iterator[File]":
        """The sheets and numbers of one photo."""
        from dino.attention.files import layers_files
        from dino.attention.layers import look, trace

        looked = look(
            backbone,
            trace(backbone, rgb, size=size, fit=fit),
            layers=layers,
            queries=self.queries,
            rolled=self.rollout,
            projected=self.qkv,
        )
        yield from layers_files(looked, rgb, style, logits=self.logits, random=backbone.is_random)


def layered(
    layers: str | None, queries: str | None, *, rollout: bool, qkv: bool, logits: bool
) -> Layered | None:
    """What the options ask for; None where none of them was given.

    Raises:
        UserError: layers or queries that cannot be read.
    """
    from dino.model.queries import parse_query

    if layers is None and queries is None and not (rollout or qkv or logits):
        return None
    return Layered(
        layers=(-1,) if layers is None else _parse_layers(layers),
        queries=tuple(dict.fromkeys(parse_query(text) for text in (queries or "cls").split(","))),
        rollout=rollout,
        qkv=qkv,
        logits=logits,
    )


def _parse_layers(text: str) -> tuple[int, ...] | None:
    from dino.errors import UserError

    if text.strip().lower() == "all":
        return None
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UserError(f"--layers is {text!r}; expected all, or numbers such as 0,5,11") from None
