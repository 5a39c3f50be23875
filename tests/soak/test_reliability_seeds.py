"""Row 16: the same seed gives the same result, byte for byte."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.training_cases import TINY, write_photos

import dino
from dino.attention import photo
from dino.masks.proposals import propose_objects
from dino.masks.settings import MaskSettings
from dino.media.images import read
from dino.training.loop import fit
from dino.training.runs.checkpoint import load_newest
from dino.training.runs.folder import read_run

pytestmark = pytest.mark.reliability

# Of the machine and the clock, not of the run.
CLOCK = ("images_per_s", "peak_memory", "data_wait", "seconds")


def losses(run) -> list[dict]:
    lines = read_run(run).metrics
    return [{k: v for k, v in line.items() if not k.startswith(CLOCK)} for line in lines]


def test_a_run_of_the_same_seed_is_the_same_run(tmp_path, figure):
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", 12)
    config = replace(TINY, epochs=2)
    runs = [
        fit(
            replace(config, seed=seed), photos, tmp_path / f"run-{n}", workers=0, say=lambda _: None
        )
        for n, seed in enumerate((5, 5, 6))
    ]
    first, second, other = map(losses, runs)
    names = {"loss", "teacher_entropy", "grad_norm", "lr"}
    assert names <= set(first[0]), first[0]
    assert first == second
    assert [line["loss"] for line in first] != [line["loss"] for line in other]
    weights = [load_newest(run / "checkpoints")[0] for run in runs]
    for name, tensor in weights[0].teacher.items():
        assert torch.equal(tensor, weights[1].teacher[name]), name
    figure(
        16,
        f"the same seed twice: a run of {len(first)} steps",
        "the same log of losses and the same weights, bit for bit; another seed gives others",
    )


@pytest.fixture(scope="module")
def seen(small_weights, photo_file):
    backbone, rgb = dino.load(small_weights), read(photo_file)
    return backbone, rgb, photo.features(backbone, rgb, size=160)


@pytest.mark.parametrize("method", ["mass", "otsu", "kmeans", "lost", "tokencut", "maskcut"])
def test_masks_are_the_same_twice(seen, method):
    backbone, rgb, _ = seen
    settings = MaskSettings(size=160, method=method, refine="grabcut")
    first, second = (
        [mask.pixels for mask in propose_objects(backbone, rgb, settings)] for _ in range(2)
    )
    assert len(first) == len(second)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_projections_are_the_same_twice(seen, method, dims):
    *_, features = seen
    options = {"method": method, "dims": dims, "perplexity": 10}
    first, second = (dino.project(features.patches, seed=3, **options).points for _ in range(2))
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)
    assert first.std() > 0


def test_what_was_found_of_masks_and_projections_is_told(seen, figure):
    *_, features = seen
    points = dino.project(features.patches, method="tsne", seed=3, perplexity=10).points
    others = dino.project(features.patches, method="tsne", seed=4, perplexity=10).points
    assert not np.array_equal(points, others)
    figure(16, "the same seed twice: masks by 6 methods, PCA, t-SNE", "identical")
