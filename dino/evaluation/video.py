"""Video object segmentation on DAVIS: the paper's Table 5.

    data = open_davis("DAVIS")
    result = video_segmentation(backbone, data)
    result.mean.j_and_f                          # 0 to 1
    result.mean_still.j_and_f                    # of the first mask, kept still

python -m dino eval video --data DAVIS
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from dino.errors import UserError
from dino.evaluation.davis import DavisData, VideoSequence
from dino.evaluation.video_measures import (
    Statistics,
    boundary_accuracy,
    region_similarity,
    scored_frames,
    statistics,
)
from dino.model.backbone import Backbone
from dino.system.distributed import World
from dino.video.propagation import PropagationSettings
from dino.video.tracking import track


@dataclass(frozen=True)
class VideoScores:
    """J (`region`) and F (`boundary`) of one object, or of several on average."""

    region: Statistics
    boundary: Statistics

    @property
    def j_and_f(self) -> float:
        """Average mean J and mean F."""
        return (self.region.mean + self.boundary.mean) / 2


@dataclass(frozen=True)
class SequenceResult:
    """Scores of each object of a sequence, of label 1 on, as followed (`objects`) and as the first
    mask kept still has them; `seconds_per_frame` of reading, network and propagation."""

    name: str
    num_frames: int
    objects: tuple[VideoScores, ...]
    still: tuple[VideoScores, ...]
    seconds_per_frame: float


@dataclass(frozen=True)
class VideoResult:
    """Results by sequence, in the data's order; means are over all objects, as official ones are."""

    sequences: tuple[SequenceResult, ...]

    @property
    def mean(self) -> VideoScores:
        """Average the objects as followed."""
        return mean_scores([scores for sequence in self.sequences for scores in sequence.objects])

    @property
    def mean_still(self) -> VideoScores:
        """Average the objects with the first mask kept still."""
        return mean_scores([scores for sequence in self.sequences for scores in sequence.still])

    @property
    def num_frames(self) -> int:
        """Count the frames of all sequences."""
        return sum(sequence.num_frames for sequence in self.sequences)

    @property
    def num_objects(self) -> int:
        """Count the objects of all sequences."""
        return sum(len(sequence.objects) for sequence in self.sequences)

    @property
    def seconds_per_frame(self) -> float:
        """Average over all frames."""
        seconds = sum(found.seconds_per_frame * found.num_frames for found in self.sequences)
        return seconds / self.num_frames


def video_segmentation(
    backbone: Backbone,
    data: DavisData,
    *,
    short_side: int = 480,
    settings: PropagationSettings | None = None,
    keep: Callable[[VideoSequence, list[np.ndarray]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    world: World | None = None,
) -> VideoResult:
    """Track the objects of each sequence's first mask and compare with the masks after it.

    Args:
        short_side: px of the frames' shorter side at the network, as in `dino.video.tracking`.
        keep: called with each sequence and its label maps uint8 [H,W], one a frame, the given first
            one included.
        progress: called with (frames done, frames in all) after each frame.
        world: processes that share the sequences, each `keep`ing its own; all get the whole result.
    Raises:
        UserError: a frame or mask that cannot be read or is of another size, or an empty first mask.
    """
    world, found = world or World(), dict[int, SequenceResult]()
    share = [(row, data.sequences[row]) for row in world.rows(len(data.sequences))]
    total, before = sum(len(sequence) for _, sequence in share), 0
    for row, sequence in share:
        truths, maps, started = _truths(sequence), list[np.ndarray](), time.perf_counter()
        frames = _frames(sequence, truths[0].shape)
        for labels in track(backbone, frames, truths[0], short_side=short_side, settings=settings):
            maps.append(labels)
            if progress:
                progress(before + len(maps), total)
        seconds = (time.perf_counter() - started) / len(sequence)
        before += len(sequence)
        if keep:
            keep(sequence, maps)
        still = [maps[0]] * len(maps)
        found[row] = SequenceResult(
            sequence.name, len(sequence), scores(maps, truths), scores(still, truths), seconds
        )
    return VideoResult(tuple(world.gathered(found).values()))


def scores(maps: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> tuple[VideoScores, ...]:
    """Score each object, of label 1 to the largest of the first truth.

    Args:
        maps, truths: label maps uint8 [H,W], one a frame each; the first and last do not count.
    """
    frames = scored_frames(len(truths))
    found = []
    for label in range(1, int(truths[0].max()) + 1):
        pairs = [(maps[frame] == label, truths[frame] == label) for frame in frames]
        found.append(
            VideoScores(
                statistics([region_similarity(*pair) for pair in pairs]),
                statistics([boundary_accuracy(*pair) for pair in pairs]),
            )
        )
    return tuple(found)


def mean_scores(several: Sequence[VideoScores]) -> VideoScores:
    """Average every statistic over objects."""
    return VideoScores(
        _mean([scores.region for scores in several]), _mean([scores.boundary for scores in several])
    )


def _mean(several: Sequence[Statistics]) -> Statistics:
    return Statistics(*np.mean([astuple(scores) for scores in several], axis=0).tolist())


def _truths(sequence: VideoSequence) -> list[np.ndarray]:
    """Read all masks of a sequence, of one size."""
    truths = [sequence.first_labels()]
    for number in range(1, len(sequence)):
        truths.append(sequence.labels(number))
        _check_size(sequence.masks[number], truths[-1], truths[0].shape)
    return truths


def _frames(sequence: VideoSequence, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for number, path in enumerate(sequence.frames):
        rgb = sequence.rgb(number)
        _check_size(path, rgb, shape)
        yield rgb


def _check_size(path: Path, pixels: np.ndarray, shape: tuple[int, ...]) -> None:
    """Check that a frame or mask has the size of the first mask."""
    if pixels.shape[:2] != shape:
        height, width = pixels.shape[:2]
        raise UserError(
            f"{path} is {height}×{width} px and the first mask {shape[0]}×{shape[1]}; expected one "
            "size for all frames and masks of a sequence"
        )
