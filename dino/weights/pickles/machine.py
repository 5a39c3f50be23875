"""Read a pickle into plain values without importing or calling anything that it names.

    value = read_pickle(file, storages)       # refuses in one sentence what it does not know

A pickle is a little program: it names functions and classes, and calls them. Here a name stays a name
(`Global`) and nothing in a file makes Python import it; what may be "called" stands in one table
(`harmless.builder`), whose functions check their arguments and give plain values, tensors or arrays.
The state that a pickle sets on an object is taken for a few types, each in its own way, and never by
`__setstate__` or `setattr` of a class that the file chose.
"""

from __future__ import annotations

import argparse
import pickletools
import re
from collections.abc import Callable
from typing import IO, Any

from dino.weights.pickles.harmless import (
    builder,
    is_known,
    modern_name,
    set_array_state,
    set_dtype_state,
)
from dino.weights.pickles.tensors import torch_dtype
from dino.weights.pickles.values import REMEDY, Global, Inert, RefusedPickleError, name_of, odd

# What reads a storage: takes its persistent id, gives what the builders of tensors take.
StorageReader = Callable[[Any], Any]

_NAME = re.compile(r"[\w.<>]{1,200}")
_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_RECALL = frozenset({"GET", "BINGET", "LONG_BINGET"})
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)


def read_pickle(
    file: IO[bytes], storages: StorageReader, *, further: Callable[[str], Any] | None = None
) -> Any:
    """Read one pickle, and leave the file where it ends.

    Args:
        storages: reads a tensor's storage by its persistent id.
        further: gives the builder of a further name, or None (the classes of a TorchScript archive).
    Raises:
        RefusedPickleError: it names something that is not known to be harmless, or uses it oddly.
        ValueError, EOFError …: damaged or cut short, as whatever type Python makes of it.
    """
    machine = _Machine(storages, further)
    try:
        return machine.run(file)
    finally:  # it refers to itself: its tensors would stay until Python next looks for such rings
        machine.memo.clear()
        machine.actions.clear()


class _Machine:
    """A pickle's stack, marks and memo, and what each of its instructions does to them."""

    def __init__(self, storages: StorageReader, further: Callable[[str], Any] | None) -> None:
        self.storages = storages
        self.further = further
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[Any, Any] = {}
        self.unknown: str | None = None  # the first name that nothing is known of
        self.actions: dict[str, Callable[[], object]] = {
            "MARK": self._mark,
            "POP": self._pop,
            "POP_MARK": self._pop_to_mark,
            "DUP": lambda: self._push(self.stack[-1]),
            "TUPLE": lambda: self._push(tuple(self._pop_to_mark())),
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "LIST": lambda: self._push(self._pop_to_mark()),
            "DICT": lambda: self._push(_pairs(self._pop_to_mark())),
            "FROZENSET": lambda: self._push(frozenset(self._pop_to_mark())),
            "APPEND": lambda: self._extend([self.stack.pop()]),
            "APPENDS": lambda: self._extend(self._pop_to_mark()),
            "ADDITEMS": self._add_to_set,
            "SETITEM": lambda: self._set_items([self.stack.pop(-2), self.stack.pop()]),
            "SETITEMS": lambda: self._set_items(self._pop_to_mark()),
            "STACK_GLOBAL": lambda: self._name(self.stack.pop(-2), self.stack.pop()),
            "REDUCE": lambda: self._call(self.stack.pop(), "call"),
            "NEWOBJ": lambda: self._call(self.stack.pop(), "make a"),
            "NEWOBJ_EX": self._new_with_keywords,
            "OBJ": self._old_object,
            "BUILD": self._build,
            "BINPERSID": lambda: self._push(self.storages(self.stack.pop())),
            "MEMOIZE": lambda: self.memo.__setitem__(len(self.memo), self.stack[-1]),
        }

    def run(self, file: IO[bytes]) -> Any:
        for opcode, arg, _ in pickletools.genops(file):
            name = opcode.name
            if name in _MEMO:
                self.memo[arg] = self.stack[-1]
            elif name in _RECALL:
                self.stack.append(self.memo[arg])
            elif name in _LITERALS:
                self.stack.append(arg)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            elif name == "GLOBAL":
                self._name(*str(arg).split(" ", 1))
            elif name in self.actions:
                self.actions[name]()
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise RefusedPickleError(
                    f"refused, because this pickle uses {name}, which torch never writes; {REMEDY}"
                )
        return self._finish()

    def _finish(self) -> Any:
        if self.unknown is not None:
            raise RefusedPickleError(
                f"refused, because this pickle names {self.unknown}, which reading it would import, "
                f"and that could run any code; {REMEDY}"
            )
        return self.stack.pop()

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:  # POP takes a mark too
            self.stack = self.marks.pop()

    def _pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _tuple(self, count: int) -> None:
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _name(self, module: Any, short: Any) -> None:
        """Push a name; whether it is known shows here, whether it is used further down."""
        if not all(type(part) is str and _NAME.fullmatch(part) for part in (module, short)):
            raise odd("a name that Python cannot have")
        name = modern_name(f"{module}.{short}")
        dtype = torch_dtype(name)
        if (
            self.unknown is None
            and not is_known(name)
            and not (self.further and self.further(name))
        ):
            self.unknown = name
        self.stack.append(Global(name) if dtype is None else dtype)

    def _call(self, args: Any, verb: str) -> None:
        """Put what our own function of that name makes of the arguments in place of the name."""
        named = self.stack.pop()
        if not isinstance(named, Global):
            raise RefusedPickleError(
                f"refused, because this pickle calls a {type(named).__name__}, which torch never "
                f"writes; {REMEDY}"
            )
        build = self._builder(named.name, verb)
        if not isinstance(args, tuple):
            raise odd(named.name)
        try:
            self.stack.append(build(*args))
        except RefusedPickleError:
            raise
        except (TypeError, ValueError, KeyError, OverflowError) as error:
            raise odd(named.name) from error

    def _builder(self, name: str, verb: str) -> Callable[..., Any]:
        found = builder(name) or (self.further(name) if self.further else None)
        if found is not None:
            return found
        if not self.stack and not self.marks and verb == "make a":
            raise RefusedPickleError(
                f"refused, because this is a whole pickled object ({name}, as torch.save(model) writes "
                "it): opening it would import and run that class's code; where you trust it, re-save "
                "only the tensors with torch.save(model.state_dict(), …)"
            )
        raise RefusedPickleError(
            f"refused, because this pickle asks to import and {verb} {name}, which could run any "
            f"code; {REMEDY}"
        )

    def _new_with_keywords(self) -> None:
        keywords = self.stack.pop()
        if keywords:
            raise odd(name_of(self.stack[-2]))
        self._call(self.stack.pop(), "make a")

    def _old_object(self) -> None:
        named, *args = self._pop_to_mark()
        self.stack.append(named)
        self._call(tuple(args), "make a")

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise odd(type(self.stack[-1]).__name__)
        self.stack[-1].extend(items)

    def _add_to_set(self) -> None:
        items = self._pop_to_mark()
        if type(self.stack[-1]) is not set:
            raise odd(type(self.stack[-1]).__name__)
        self.stack[-1].update(items)

    def _set_items(self, flat: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Inert):
            target.items.update(_pairs(flat))
        elif isinstance(target, dict):
            target.update(_pairs(flat))
        else:
            raise odd(type(target).__name__)

    def _build(self) -> None:
        """Take the state of the few types that have one here."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.state = state
        elif isinstance(target, argparse.Namespace) and isinstance(state, dict):
            vars(target).update({str(key): value for key, value in state.items()})
        elif isinstance(target, dict):
            return  # attributes beside the items, such as `_metadata` of a state dict: never read
        elif type(target).__module__.startswith("numpy") and isinstance(state, tuple):
            set_state = set_array_state if hasattr(target, "nbytes") else set_dtype_state
            set_state(target, state)
        elif isinstance(target, Global):
            raise RefusedPickleError(
                f"refused, because this pickle would change {target} itself; {REMEDY}"
            )
        else:
            raise odd(type(target).__name__)


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
