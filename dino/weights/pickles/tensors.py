"""Make tensors of what a pickle says of them: a storage of bytes, an offset, sizes and strides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dino.weights.pickles.values import REMEDY, Global, RefusedPickleError, name_of, odd

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MAX_REPEATED = 2**24  # elements of a tensor that repeats a smaller storage (strides of 0)
_DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"),
    *("bool", "complex32", "complex64", "complex128", "uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)
_STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16"},
    **{"BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32"},
    **{"ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8"},
    **{"BoolStorage": "bool", "ComplexFloatStorage": "complex64"},
    **{"ComplexDoubleStorage": "complex128", "UntypedStorage": "uint8"},
}
_STORAGE = re.compile(r"torch\.(?:storage\.|cuda\.)?(\w+Storage)")
_TENSOR_TYPES = frozenset(
    {
        *("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter"),
        *("torch.nn.parameter.Buffer", "torch.nn.Parameter"),
    }
)
# Kinds of tensors that are known and not read.
_UNSUPPORTED = {
    "torch._utils._rebuild_qtensor": "a quantised tensor",
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor on the meta device, without values",
    "torch._utils._rebuild_wrapper_subclass": "a tensor of a class of its own",
}
_CONSTANTS = re.compile(
    r"torch\.(strided|sparse_coo|contiguous_format|preserve_format|channels_last(_3d)?|per_\w+)"
)


@dataclass(frozen=True)
class Storage:
    """Bytes (uint8, flat), and what they are read as; None where the tensor says it."""

    data: Tensor
    dtype: torch.dtype | None


def dtype_of_storage(named: Any) -> torch.dtype | None:
    """Give the type that a storage's class stands for; None for untyped bytes.

    Raises:
        RefusedPickleError: it is no class of storages.
    """
    import torch

    found = _STORAGE.fullmatch(named.name) if isinstance(named, Global) else None
    if found is not None and found[1].startswith(("QInt", "QUInt")):
        raise _unread("a quantised tensor")
    if found is None or found[1] not in _STORAGES:
        raise odd(f"a storage of the class {name_of(named)}")
    return None if found[1] == "UntypedStorage" else getattr(torch, _STORAGES[found[1]])


def is_torch_name(name: str) -> bool:
    """Tell whether a name of torch's may be mentioned (a class of tensors or storages, a format)."""
    storage = _STORAGE.fullmatch(name)
    return (
        name in _TENSOR_TYPES
        or _CONSTANTS.fullmatch(name) is not None
        or (storage is not None and (storage[1] in _STORAGES or storage[1].startswith("Q")))
    )


def torch_dtype(name: str) -> torch.dtype | None:
    """Give the type of numbers of a name such as "torch.float32"; None where it is none."""
    import torch

    short = name.removeprefix("torch.")
    return getattr(torch, short, None) if short != name and short in _DTYPES else None


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    return _view(storage, offset, size, stride, None)


def _tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    import torch

    _, _, dtype, *_ = rest  # after requires_grad and hooks
    if not isinstance(dtype, torch.dtype):
        raise odd("a tensor's dtype")
    return _view(storage, offset, size, stride, dtype)


def _view(storage: Any, offset: Any, size: Any, stride: Any, dtype: torch.dtype | None) -> Tensor:
    """Look at a storage's bytes as a tensor that lies wholly inside it."""
    import torch

    numbers = (offset, *size, *stride)
    if not isinstance(storage, Storage) or any(type(n) is not int or n < 0 for n in numbers):
        raise odd("a tensor")
    if len(size) != len(stride):
        raise odd("a tensor")
    flat = _as(storage.data, dtype or storage.dtype or torch.uint8)
    count, last = 1, offset
    for side, step in zip(size, stride, strict=True):
        count, last = count * side, last + max(side - 1, 0) * step
    if count and last >= flat.numel():
        raise odd("a tensor that reaches beyond its storage")
    if count > max(flat.numel(), _MAX_REPEATED):
        raise odd(f"a tensor of {count} elements that repeats a storage of {flat.numel()}")
    start = flat.storage_offset()  # of the file: `as_strided` counts from the start of all bytes
    return flat.as_strided(tuple(size), tuple(stride), start + (offset if count else 0))


def _as(data: Tensor, dtype: torch.dtype) -> Tensor:
    whole = data[: data.numel() // dtype.itemsize * dtype.itemsize]
    if whole.storage_offset() % dtype.itemsize:
        whole = whole.clone()  # written without alignment, by another zip program
    return whole.view(dtype)


def _parameter(data: Any, *_: Any) -> Tensor:
    import torch

    if not isinstance(data, torch.Tensor):
        raise odd("a parameter")
    return data


def _tensor_with_attributes(function: Any, kind: Any, args: Any, state: Any) -> Tensor:
    """Make a tensor that carries attributes, which are left out."""
    known = isinstance(kind, Global) and kind.name in _TENSOR_TYPES
    build = TENSOR_BUILDERS.get(function.name) if isinstance(function, Global) else None
    if not known or build is None or build is _tensor_with_attributes:
        raise RefusedPickleError(
            f"refused, because it holds a tensor of the class {name_of(kind)}; {REMEDY}"
        )
    result: Tensor = build(*args)
    return result


def _tensor_of_array(data: Any, dtype: Any, *_: Any) -> Tensor:
    """Make a tensor that lay on another device (XLA and others), written as a NumPy array or tensor."""
    import torch

    tensor = data if isinstance(data, torch.Tensor) else torch.from_numpy(data.copy())
    return tensor.to(dtype) if isinstance(dtype, torch.dtype) else tensor


def _size(sides: Any = ()) -> tuple[int, ...]:
    import torch

    return torch.Size(sides)


def _device(kind: Any, *index: Any) -> str:
    """Name a device; it need not be one that this machine has."""
    if type(kind) is not str or any(type(number) is not int for number in index):
        raise odd("torch.device")
    return ":".join(map(str, (kind, *index)))


def _layout(name: Any) -> str:
    return str(name)


def _unsupported(what: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise _unread(what)

    return refuse


def _unread(what: str) -> RefusedPickleError:
    return RefusedPickleError(
        f"holds {what}, which is not read here; save the tensors dense, in fp32, fp16 or bf16"
    )


TENSOR_BUILDERS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
    "torch._utils._rebuild_device_tensor_from_numpy": _tensor_of_array,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _tensor_of_array,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": _layout,
    **{name: _unsupported(what) for name, what in _UNSUPPORTED.items()},
}
