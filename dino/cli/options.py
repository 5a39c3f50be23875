"""Options that belong together, as one object: `run.with_options` on a command makes them of a dataclass.

@run.with_options
def command(photos: run.Photos, loading: run.Loading = run.Loading()) -> None:
    backbone = loading.load()
"""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

# The fields whose options stand where their object does; those of the others are last in --help.
_IN_PLACE = ("weights",)


def _options_of(kind: Any) -> list[inspect.Parameter]:
    """Make a parameter of each field of a dataclass."""
    types = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=types[field.name],
        )
        for field in fields(kind)
    ]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every field of its parameters that are dataclasses.

    typer reads a function's signature; this makes one that has, in place of `loading: Loading`, each of
    its fields, and hands the command the object made of them.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    options: list[inspect.Parameter] = []
    rarer: list[inspect.Parameter] = []  # of --help, last
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            options.append(own)
            continue
        for option in _options_of(groups[name]):
            (options if option.name in _IN_PLACE else rarer).append(option)
    options += rarer

    @wraps(command)
    def call(**given: Any) -> None:
        objects = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**given, **objects)

    del call.__wrapped__
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    return call
