"""What stands for names and objects of a pickle that are never imported, and how one is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

REMEDY = "where you trust it, re-save only the tensors (safetensors, or torch.save of a state_dict)"


class RefusedPickleError(ValueError):
    """A pickle that is not read; the message says which name it asks for, and what to do."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that a pickle refers to, such as "numpy.dtype"; only ever looked up in our own tables."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True, eq=False)
class Inert:
    """An object of a class that is known to be data only, kept as what the pickle says of it."""

    type_name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


def odd(name: str) -> RefusedPickleError:
    """Refuse what no writer gives to what is named."""
    return RefusedPickleError(
        f"refused, because this pickle uses {name} in a way it is never written; {REMEDY}"
    )


def name_of(value: Any) -> str:
    """Name what a pickle passed, for an error: a name as it is, of other values only their type."""
    return value.name if isinstance(value, Global) else f"a {type(value).__name__}"
