"""What a pickle may ask for: names of types that cannot run code, and what is made of each.

Every function here takes what a pickle passes to the name it stands for, checks it, and gives a plain
value. Types of other people's packages are kept as `Inert`, so that none of them has to be there.
"""

from __future__ import annotations

import argparse
import datetime
import decimal
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from dino.weights.pickles.tensors import TENSOR_BUILDERS, is_torch_name, torch_dtype
from dino.weights.pickles.values import Global, Inert, name_of, odd

if TYPE_CHECKING:
    import numpy as np

_PLAIN_TYPES = frozenset(
    f"builtins.{name}"
    for name in (
        *("object", "int", "float", "bool", "str", "bytes", "bytearray", "complex", "NoneType"),
        *("list", "dict", "tuple", "set", "frozenset", "range", "slice", "type"),
    )
)
_FACTORIES = frozenset(
    {
        *(f"builtins.{name}" for name in ("list", "dict", "int", "float", "str", "bool")),
        *("builtins.set", "builtins.tuple", "builtins.bytes"),
        *("collections.OrderedDict", "collections.Counter", "collections.deque"),
    }
)
# Enums of the standard library: their members are kept as their plain values.
_ENUMS = frozenset(
    {
        *("http.HTTPStatus", "http.HTTPMethod", "inspect._ParameterKind", "uuid.SafeUUID"),
        *("plistlib.PlistFormat", "pstats.SortKey", "py_compile.PycInvalidationMode"),
        *("re.RegexFlag", "signal.Handlers", "signal.Sigmasks", "signal.Signals"),
        *("socket.AddressFamily", "socket.AddressInfo", "socket.MsgFlag", "socket.SocketKind"),
        *("ssl.AlertDescription", "ssl.Options", "ssl.Purpose", "ssl.SSLErrorNumber"),
        *("ssl.TLSVersion", "ssl.VerifyFlags", "ssl.VerifyMode", "ssl._SSLMethod"),
        *("ssl._TLSAlertType", "ssl._TLSContentType", "ssl._TLSMessageType"),
        *("enum.FlagBoundary", "enum.EnumCheck"),
    }
)
# Members that Python pickles by their own name.
_ENUM_MEMBERS = re.compile(
    r"(signal\.SIG|socket\.(AF|SOCK|MSG|AI)_|ssl\.(PROTOCOL|CERT|OP|VERIFY|ALERT_DESCRIPTION)_|re\.)"
    r"[A-Z0-9_]+"
)
# Dicts of other packages that settings are kept in.
_DICT_LIKE = frozenset(
    {
        *("easydict.EasyDict", "addict.Dict", "addict.addict.Dict"),
        *("munch.Munch", "munch.munch.Munch"),
        *("yacs.config.CfgNode", "fvcore.common.config.CfgNode"),
        "detectron2.config.config.CfgNode",
        *("mmcv.utils.config.ConfigDict", "mmengine.config.config.ConfigDict"),
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
        *("lightning_fabric.utilities.data.AttributeDict",),
        "lightning.fabric.utilities.data.AttributeDict",
    }
)
# Records of other packages, and random states, kept as what the pickle says of them.
_INERT = re.compile(
    r"omegaconf\.[\w.]+"
    r"|numpy\.random\.[\w.]+"
    r"|random\.Random"
    r"|uuid\.UUID"
    r"|mmengine\.logging\.history_buffer\.HistoryBuffer"
)
_TYPING = re.compile(r"typing\.[A-Z]\w*")
_NUMPY_TYPE = re.compile(
    r"numpy\.(u?int(8|16|32|64)?|u?intc|u?longlong|u?intp|float(16|32|64)|double|single|half|"
    r"complex(64|128)|bool_?|str_|bytes_|ndarray)"
)
_NUMPY_CODE = re.compile(r"[|<>=]?([biufc](1|2|4|8|16)|[SU]\d{1,4}|\?)")
_OLD_MODULES = {  # names as Python 2, older and newer libraries write them
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "pathlib._local": "pathlib",
    "numpy.core": "numpy._core",
}
_OLD_NAMES = {
    "builtins.xrange": "builtins.range",
    "builtins.unicode": "builtins.str",
    "builtins.long": "builtins.int",
}


def modern_name(name: str) -> str:
    """Give a name as it is today, so that each stands once in the tables."""
    for old, new in _OLD_MODULES.items():
        if name.startswith(f"{old}."):
            name = new + name.removeprefix(old)
    return _OLD_NAMES.get(name, name)


def is_known(name: str) -> bool:
    """Tell whether a pickle may mention this name."""
    return (
        builder(name) is not None
        or torch_dtype(name) is not None
        or name in _PLAIN_TYPES
        or is_torch_name(name)
        or any(known.fullmatch(name) for known in (_ENUM_MEMBERS, _TYPING, _NUMPY_TYPE))
    )


def builder(name: str) -> Callable[..., Any] | None:
    """Give the function that stands in for a name when a pickle calls it; None for what is refused."""
    if name in _builders():
        return _builders()[name]
    if name in _ENUMS:
        return _enum_value
    if name in _DICT_LIKE:
        return _plain_dict
    if _INERT.fullmatch(name):
        return lambda *args: Inert(name, args)
    return None


@cache
def _builders() -> dict[str, Callable[..., Any]]:
    return {
        "argparse.Namespace": argparse.Namespace,
        "types.SimpleNamespace": _simple_namespace,
        "collections.OrderedDict": lambda items=(): OrderedDict(_items(items)),
        "collections.Counter": lambda items=(): dict(_items(items)),
        "collections.defaultdict": _defaultdict,
        "collections.deque": lambda items=(), maxlen=None: list(_sequence(items)),
        **dict.fromkeys(("pathlib.PosixPath", "pathlib.PurePosixPath"), _posix_path),
        **dict.fromkeys(("pathlib.Path", "pathlib.PurePath"), _posix_path),
        **dict.fromkeys(("pathlib.WindowsPath", "pathlib.PureWindowsPath"), _windows_path),
        "builtins.set": lambda items=(): set(_sequence(items)),
        "builtins.frozenset": lambda items=(): frozenset(_sequence(items)),
        "builtins.list": lambda items=(): list(_sequence(items)),
        "builtins.tuple": lambda items=(): tuple(_sequence(items)),
        "builtins.dict": lambda items=(): dict(_items(items)),
        "builtins.bytes": lambda *args: bytes(_text_bytes("builtins.bytes", *args)),
        "builtins.bytearray": lambda *args: bytearray(_text_bytes("builtins.bytearray", *args)),
        "builtins.complex": lambda real, imag=0.0: complex(_number(real), _number(imag)),
        "builtins.slice": lambda *args: slice(*map(_whole_or_none, args)),
        "builtins.range": lambda *args: range(*map(_whole, args)),
        "builtins.getattr": _enum_member,
        "_codecs.encode": lambda text, codec="latin1": _text_bytes("_codecs.encode", text, codec),
        "copyreg._reconstructor": _reconstructor,
        **dict.fromkeys(("_operator.getitem", "operator.getitem"), _type_with_arguments),
        "datetime.datetime": lambda *args: datetime.datetime(*_date_args(args)),
        "datetime.date": lambda *args: datetime.date(*_date_args(args)),
        "datetime.time": lambda *args: datetime.time(*_date_args(args)),
        "datetime.timedelta": lambda *args: datetime.timedelta(*map(_number, args)),
        "datetime.timezone": datetime.timezone,
        "decimal.Decimal": lambda text: decimal.Decimal(_text(text)),
        "torch.torch_version.TorchVersion": lambda text: str(_text(text)),
        "numpy.dtype": lambda code, *_: _dtype(code),
        "numpy._core.multiarray.scalar": _numpy_scalar,
        "numpy._core.multiarray._reconstruct": _empty_array,
        "numpy._core.numeric._frombuffer": _array_of_buffer,
        **TENSOR_BUILDERS,
    }


# --- plain Python -------------------------------------------------------------------------------


def _sequence(items: Any) -> Any:
    if type(items) not in (list, tuple, set, frozenset):
        raise odd("a list")
    return items


def _items(items: Any) -> Any:
    if isinstance(items, dict):
        return items
    return [(key, value) for key, value in _sequence(items)]


def _plain_dict(*args: Any) -> dict[Any, Any]:
    """Make a dict of a dict, of a list of pairs, or of the pairs one by one, as addict writes them."""
    if all(type(pair) is tuple and len(pair) == 2 and type(pair[0]) is str for pair in args):
        return dict(args)
    return dict(_items(args[0])) if args else {}


def _number(value: Any) -> float | int:
    if type(value) not in (int, float, bool):
        raise odd("a number")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise odd("a whole number")
    return value


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise odd("a text")
    return value


def _text_bytes(name: str, *args: Any) -> bytes:
    """Give the bytes that a pickle of protocol 2 writes as text, with their codec."""
    if not args:
        return b""
    if type(args[0]) in (bytes, bytearray) and len(args) == 1:
        return bytes(args[0])
    if type(args[0]) is str and args[1:] in ((), ("latin1",), ("latin-1",)):
        return args[0].encode("latin1")
    raise odd(name)


def _simple_namespace(*args: Any) -> argparse.Namespace:
    made = argparse.Namespace()
    if args:
        vars(made).update({str(key): value for key, value in dict(_items(args[0])).items()})
    return made


def _defaultdict(factory: Any = None, items: Any = ()) -> dict[Any, Any]:
    """Give a plain dict: the factory is checked and never called."""
    if factory is not None and not (isinstance(factory, Global) and factory.name in _FACTORIES):
        raise odd(f"collections.defaultdict with {name_of(factory)} as its factory")
    return dict(_items(items))


def _posix_path(*parts: Any) -> PurePosixPath:
    return PurePosixPath(*map(_text, parts))


def _windows_path(*parts: Any) -> PureWindowsPath:
    return PureWindowsPath(*map(_text, parts))


def _enum_value(value: Any) -> Any:
    if type(value) not in (int, str):
        raise odd("an enum")
    return value


def _enum_member(of: Any, name: Any) -> str:
    """Stand in for `getattr`, with which Python 3.11 pickles members of enums and protocol 2 pickles the
    methods that a record names; only their name is kept."""
    known = isinstance(of, Global) and (of.name in _ENUMS or _INERT.fullmatch(of.name) is not None)
    if known and type(name) is str:
        return f"{of.name}.{name}"
    raise odd(f"builtins.getattr of {name_of(of)}")


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """Make an object as pickles of protocol 0 and 1 do."""
    build = builder(cls.name) if isinstance(cls, Global) else None
    if build is None or not (isinstance(base, Global) and base.name in _PLAIN_TYPES):
        raise odd(f"copyreg._reconstructor of {name_of(cls)}")
    return build() if state is None else build(state)


def _type_with_arguments(of: Any, arguments: Any) -> Any:
    """Stand in for `Dict[str, int]` in the settings of others; only the type is kept."""
    if isinstance(of, Global) and _TYPING.fullmatch(of.name):
        return of
    raise odd("operator.getitem")


def _date_args(args: tuple[Any, ...]) -> list[Any]:
    packed = [arg.encode("latin1") if type(arg) is str else arg for arg in args]
    for arg in packed:
        if type(arg) not in (bytes, int, datetime.timezone, type(None)):
            raise odd("a date")
    return packed


# --- NumPy --------------------------------------------------------------------------------------


def _dtype(code: Any) -> np.dtype[Any]:
    """Make a type of numbers or text of fixed length; objects, records and dates are refused."""
    import numpy as np

    if isinstance(code, np.dtype):
        return code
    if isinstance(code, Global) and _NUMPY_TYPE.fullmatch(code.name):
        code = np.dtype(code.name.removeprefix("numpy.")).str
    if type(code) is not str or not _NUMPY_CODE.fullmatch(code):
        raise odd(f"numpy.dtype of {code if type(code) is str else name_of(code)!r:.60}")
    return np.dtype(code, copy=True)


def set_dtype_state(dtype: Any, state: tuple[Any, ...]) -> None:
    """Set the order of bytes of a type, which is all that a pickle may say of one."""
    order, rest = state[1:2], state[2:]
    sizes = ((-1, -1), (dtype.itemsize, 4), (dtype.itemsize, 1))
    orders = (("|",),) if dtype.byteorder == "|" else (("<",), (">",), ("=",))
    allowed = order in orders and rest[:3] == (None, None, None)
    if state[0] != 3 or not allowed or rest[3:5] not in sizes or rest[5:] not in ((0,), (8,)):
        raise odd("numpy.dtype")
    dtype.__setstate__(state)


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    import numpy as np

    data = data.encode("latin1") if type(data) is str else data
    if not isinstance(dtype, np.dtype) or type(data) is not bytes or len(data) != dtype.itemsize:
        raise odd("a NumPy scalar")
    return np.frombuffer(data, dtype)[0]


def _empty_array(kind: Any, shape: Any, code: Any) -> np.ndarray[Any, Any]:
    """Make the empty array that a pickle then fills (`set_array_state`)."""
    import numpy as np

    if not isinstance(kind, Global) or kind.name != "numpy.ndarray" or shape != (0,):
        raise odd(f"a NumPy array of {name_of(kind)}")
    return np.empty(0, np.uint8)


def set_array_state(array: Any, state: tuple[Any, ...]) -> None:
    """Fill an array that is still empty with numbers."""
    import numpy as np

    _, shape, dtype, is_fortran, data = state
    data = data.encode("latin1") if type(data) is str else data
    sides = [_whole(side) for side in shape]
    whole = isinstance(dtype, np.dtype) and not dtype.hasobject and type(data) is bytes
    if array.size or not whole or min(sides, default=0) < 0 or type(is_fortran) not in (bool, int):
        raise odd("a NumPy array")
    array.__setstate__((1, tuple(sides), dtype, bool(is_fortran), data))


def _array_of_buffer(
    data: Any, dtype: Any, shape: Any, order: Any, *_: Any
) -> np.ndarray[Any, Any]:
    import numpy as np

    if not isinstance(dtype, np.dtype) or type(data) not in (bytes, bytearray):
        raise odd("a NumPy array")
    sides = tuple(_whole(side) for side in _sequence(shape))
    return np.frombuffer(bytes(data), dtype).reshape(sides, order="F" if order == "F" else "C")
