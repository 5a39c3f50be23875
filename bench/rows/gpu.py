"""Rows 9 to 11: training on a GPU. With `--device cpu` and `--tiny` the same code runs without one."""

import contextlib
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.machine import products
from bench.outcome import NotMeasuredError, Outcome, Settings
from bench.rows.training import config_of, step_work
from bench.timing import Times, in_turns
from bench.training import build_own_step, jpeg, own_step, plain_step, random_crops
from dino.media.preprocessing import channel_tensor
from dino.model.device import choose_precision
from dino.training.build import build_crops
from dino.training.config import TrainConfig
from dino.training.data import StepSampler, normalize, open_photos, read_batches

_BATCHES = (64, 256)
_OURS, _PLAIN = "ours, batch {}", "plain fp16, batch {}"


def step(settings: Settings) -> Outcome:
    """Time row 9: a step on crops that are on the device, ours beside the plain one in fp16 with a scaler."""
    _need_gpu(settings)
    outcome = Outcome()
    for batch in _BATCHES:
        config = _config(settings, batch)
        crops = random_crops(config, settings.device)
        ways: dict[str, Any] = {
            _OURS.format(batch): own_step(config, crops, device=settings.device)
        }
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            slow = _plain_half(config, crops, device=settings.device)
            slow()
            ways[_PLAIN.format(batch)] = slow
        precision = choose_precision("auto", settings.device)
        rates = products(precision, settings.device, tiny=settings.tiny)
        ways |= {name: multiply for name, (multiply, _) in rates.items()}
        times = in_turns(ways, settings.repeats, device=settings.device)
        outcome.timed(times)
        ours = times[_OURS.format(batch)].median
        slow_times = times.get(_PLAIN.format(batch))
        ratio = None if slow_times is None else slow_times.median / ours
        outcome.figures[f"over plain, batch {batch}"] = ratio
        if ratio is None:
            outcome.notes.append(f"The plain step does not fit this GPU at batch {batch}.")
        rate = max(work / times[name].median for name, (_, work) in rates.items())
        outcome.notes.append(_utilisation(config, batch, ours, rate))
    return outcome


def from_jpeg(settings: Settings) -> Outcome:
    """Time row 10: the same fed from JPEGs by the loader of a run, beside crops already on the device."""
    _need_gpu(settings)
    config = _config(settings, _BATCHES[0])
    device, steps = settings.device, 2 if settings.tiny else 30
    run = own_step(config, random_crops(config, device), device=device)
    synthetic = in_turns({"synthetic": run}, settings.repeats, device=device)["synthetic"]
    method, values, options = build_own_step(config, device=device)
    mean, std = (channel_tensor(v, device=device) for v in method.scale)
    taken, waited = [], []
    with tempfile.TemporaryDirectory() as place:
        for number in range(4 * config.batch_size):
            (Path(place) / f"{number:05}.jpg").write_bytes(jpeg())
        photos = open_photos(place)
        sampler = StepSampler(len(photos), config.batch_size, seed=0, start=0, end=steps)
        workers = 0 if settings.tiny else max(1, (os.cpu_count() or 2) - 1)
        pin = device.type == "cuda"
        crops_of = build_crops(config)
        batches = read_batches(photos, crops_of, sampler, seed=0, workers=workers, pin=pin)
        before = time.perf_counter()
        for batch in batches:
            arrived = time.perf_counter()
            crops = [crop.to(device, non_blocking=True) for crop in batch.crops]
            method.step(normalize(crops, mean, std), batch.labels.to(device), values, options)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            now = time.perf_counter()
            taken.append(now - before)
            waited.append((arrived - before) / (now - before))
            before = now
    outcome = Outcome()
    times = Times(tuple(taken[1:]))
    outcome.timed({"synthetic": synthetic, "from JPEG": times})
    outcome.figures = {
        "of the synthetic rate": synthetic.median / times.median,
        "share of time waiting for data": sum(waited[1:]) / len(waited[1:]),
    }
    return outcome


def memory(settings: Settings) -> Outcome:
    """Measure row 11: most memory of the GPU that a step takes, ours beside plain."""
    _need_gpu(settings)
    if settings.device.type != "cuda":
        raise NotMeasuredError("no GPU here: there is no memory of one to count")
    config, device = _config(settings, _BATCHES[0]), settings.device
    crops = random_crops(config, device)
    peaks = {}
    for name, build in (("ours", own_step), ("plain", _plain_half)):
        torch.cuda.empty_cache()
        run = build(config, crops, device=device)
        run()
        torch.cuda.reset_peak_memory_stats(device)
        run()
        peaks[name] = torch.cuda.max_memory_allocated(device)
        del run
    outcome = Outcome({f"share of plain, batch {_BATCHES[0]}": peaks["ours"] / peaks["plain"]})
    outcome.ways = [{"way": n, "median": p / 1e6, "unit": "MB"} for n, p in peaks.items()]
    return outcome


def _need_gpu(settings: Settings) -> None:
    if settings.device.type != "cuda" and not settings.tiny:
        raise NotMeasuredError("no GPU here")


def _config(settings: Settings, batch: int) -> TrainConfig:
    config = config_of(settings)
    return config if settings.tiny else replace(config, batch_size=batch)


def _plain_half(config: TrainConfig, crops: list[torch.Tensor], *, device: torch.device) -> Any:
    """Build the plain step in fp16 with a gradient scaler, as the original trains on a GPU."""
    if device.type != "cuda":
        return plain_step(config, crops)
    return plain_step(config, crops, device=device, scaler=torch.amp.GradScaler("cuda"))


def _utilisation(config: TrainConfig, batch: int, seconds: float, rate: float) -> str:
    achieved = step_work(config, only_cls=False) / seconds
    return (
        f"Batch {batch}: {config.batch_size / seconds:.0f} images/s, {achieved / 1e3:.1f} TFLOP/s of "
        f"the model's arithmetic, {achieved / rate:.0%} of the measured matmul rate."
    )
