"""Describe the machine that figures were measured on, and how fast it multiplies matrices."""

import functools
import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from dino.model.device import choose_precision, dtype_of

# Flags of a processor that decide how fast it multiplies.
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "sve", "bf16")
_PACKAGES = (
    "torch", "timm", "numpy", "opencv-python", "opencv-python-headless", "pillow", "scikit-learn",
    "streamlit", "transformers", "lightly", "openvino",
)  # fmt: skip
# [m, k] × [k, n]: a layer of ViT-S and of ViT-B at 480 px, and squares; the quickest counts.
_SHAPES = ((3601, 384, 1536), (3601, 1536, 384), (2048, 2048, 2048), (4096, 4096, 4096))
_TINY_SHAPES = ((256, 256, 256),)
# On a GPU a layer is over before the next is launched.
_GPU_SHAPES = ((4096, 4096, 4096), (8192, 8192, 8192))
# GFLOP of a product repeated: long enough that no moment of boost, and no launch, decides.
_WORK = {"cpu": 100, "cuda": 50_000}


def describe(device: torch.device) -> dict[str, Any]:
    """Describe processor and flags, cores, threads, load, memory, GPU, versions."""
    model, flags = _processor()
    found = {
        "processor": model,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "threads wait": os.environ.get("OMP_WAIT_POLICY", "as the library does").lower(),
        "load before": round(os.getloadavg()[0], 1),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def versions() -> dict[str, str]:
    """List the installed versions of what takes part."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def products(
    precision: str, device: torch.device, *, tiny: bool = False
) -> dict[str, tuple[Callable[[], None], float]]:
    """Build matrix products whose rate is the machine's: by name, what repeats one, and its GFLOP.

    They are to be timed in turns with what they are compared with: on shared hardware the same product
    may take twice as long a minute later.
    """
    found = {}
    shapes = _GPU_SHAPES if device.type == "cuda" else _SHAPES
    for m, k, n in _TINY_SHAPES if tiny else shapes:
        left, right = (
            torch.randn(size, device=device).to(dtype_of(precision)) for size in ((m, k), (n, k))
        )
        work = 2e-9 * m * k * n
        times = 1 if tiny else max(1, round(_WORK[device.type] / work))
        found[f"product {m}×{k}×{n}, {precision}, {times} times"] = (
            functools.partial(_multiply, left, right, times),
            work * times,
        )
    return found


def _multiply(left: torch.Tensor, right: torch.Tensor, times: int) -> None:
    for _ in range(times):
        torch.nn.functional.linear(left, right)


def cpu_precisions() -> tuple[str, ...]:
    """List the precisions to measure on this CPU: bfloat16 where it is what DINO Explorer chooses itself."""
    return tuple(dict.fromkeys(("fp32", choose_precision("auto", torch.device("cpu")))))


def _processor() -> tuple[str, set[str]]:
    """Read the processor's name and flags, which Linux gives."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine(), set()
    fields: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", ""))
    return fields.get("model name", platform.machine()), set(flags.split())
