"""Make a run of what a user chose: a free name, weights to start from, sizes that fit them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.cache import backbones
from app.state import data_root, weights_menu
from app.state.selection import PHOTOS, Photo
from dino.system.jobs import DEFAULT_NICE
from dino.training.build import build_schedules
from dino.training.config import TrainConfig
from dino.training.presets import PRESETS, preset_config
from dino.training.runs import jobs
from dino.training.runs.jobs import runs_folder

SCRATCH = "Random weights (from scratch)"


@dataclass(frozen=True)
class Request:
    """A run that could be started."""

    name: str
    config: TrainConfig
    data: Path
    knn: Path | None
    masks: Path | None
    film: tuple[str, ...]
    threads: int
    nice: int = DEFAULT_NICE

    def start(self) -> None:
        """Start the run.

        Raises:
            UserError: a name that cannot be or is taken, no photos.
        """
        jobs.start(
            self.config,
            self.data,
            runs_folder() / self.name,
            knn=self.knn,
            masks=self.masks,
            film=self.film,
            threads=self.threads,
            nice=self.nice,
        )


def make_config(
    preset: str,
    *,
    num_photos: int,
    weights: str | None,
    changes: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """Make the preset's settings, with crops of whole patches of the weights to start from, and then the
    changes.

    Args:
        weights: a name from `weights_menu.weights_options`, or a path; None: from scratch.
    Raises:
        UserError: weights that cannot be opened, settings that cannot be, photos for no batch.
    """
    start: dict[str, Any] = {}
    if weights is not None:
        init = weights_menu.start_weights(weights, st.session_state)
        start = {"init": init, **backbones.start_sizes(init)}
    config = preset_config(preset, num_photos=num_photos, **{**start, **(changes or {})})
    build_schedules(config, num_photos)
    return config


def differences(config: TrainConfig, num_photos: int) -> tuple[str, dict[str, Any]]:
    """Write a config as the nearest preset for so many photos and what differs from it."""
    start = {"init": config.init, **(backbones.start_sizes(config.init) if config.init else {})}

    def changes(preset: str) -> dict[str, Any]:
        before = asdict(preset_config(preset, num_photos=num_photos, **start))
        return {k: v for k, v in asdict(config).items() if k != "init" and v != before[k]}

    return min(((preset, changes(preset)) for preset in PRESETS), key=lambda found: len(found[1]))


def free_name(*words: str) -> str:
    """Make a name that no run has, of words."""
    return data_root.free_name(runs_folder(), "-".join(words), otherwise="run", numbered=True)


def film_photos(photo: Photo | None, examples: Sequence[str]) -> tuple[str, ...]:
    """Choose photos for the filmstrip: the one in the sidebar, if it came with the app, and the examples."""
    bundled = [str(PHOTOS / photo.file_name)] if photo is not None and photo.credit else []
    return (*bundled, *examples)
