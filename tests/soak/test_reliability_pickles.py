"""Row 5: a pickle that would run code is refused at every door, and its canary is never seen."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import weights_cases
from helpers.training_cases import TINY, write_photos

from dino.errors import UserError
from dino.training.loop import fit
from dino.training.runs import checkpoint

pytestmark = pytest.mark.reliability


class Bomb:
    """Unpickling this in the ordinary way creates a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


@pytest.fixture
def canary(tmp_path) -> Path:
    """Where a bomb that goes off would leave a file."""
    return tmp_path / "canary"


@pytest.fixture
def evil(tmp_path, canary) -> dict[str, Path]:
    """Checkpoints with a bomb in them, as torch writes them now, as it did, and as plain pickles."""
    state = weights_cases.canonical_vit()
    full = weights_cases.original_full(state, state) | {"epoch": Bomb(canary)}
    files = {name: tmp_path / f"{name}.pth" for name in ("zip", "legacy", "plain")}
    torch.save(full, files["zip"])
    torch.save(full, files["legacy"], _use_new_zipfile_serialization=False)
    files["plain"].write_bytes(pickle.dumps({"teacher": Bomb(canary)}))
    return files


@pytest.fixture
def run(tmp_path) -> Path:
    """A run of two steps that can be gone on with."""
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", 8)
    return fit(TINY, photos, tmp_path / "run", workers=0, say=lambda _: None)


def test_the_canary_sings_where_a_pickle_is_run(canary):
    """Proof that the tests below could fail."""
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists()


def test_every_command_that_takes_weights_refuses_them(command, evil, photo_file, canary, figure):
    tried = 0
    for path in evil.values():
        for words in (
            ("attend", photo_file, "--weights", path),
            ("segment", photo_file, "--weights", path),
            ("project", photo_file, "--weights", path),
            ("embed", photo_file.parent, "--weights", path),
            ("match", photo_file, photo_file, "--weights", path),
            ("film", photo_file, "--attention", "--weights", path),
            ("weights", "info", path),
            ("weights", "convert", path, "out.safetensors"),
            ("export", path, "out.safetensors"),
            ("eval", "knn", "--train", photo_file.parent, "--val", photo_file.parent, "--weights", path),
            ("train", "--data", photo_file.parent, "--out", "run", "--init", path),
            ("train", "--data", photo_file.parent, "--out", "run", "--set", f"init_head={path}"),
        ):  # fmt: skip
            code, out, err = command(*words)
            assert code == 2, (words, out, err)
            assert err.strip().splitlines()[-1].startswith("error: "), (words, err)
            assert "Traceback" not in err
            tried += 1
    assert not canary.exists()
    figure(5, f"{tried} commands with a checkpoint that would run code", "all refused, no canary")


def test_a_run_is_not_resumed_from_one(command, run, canary):
    for newest in checkpoint.list_checkpoints(run / "checkpoints"):
        torch.save({"student": Bomb(canary)}, newest)
        newest.with_suffix(".sha256").unlink()
    code, _, err = command("resume", run)
    assert (code, canary.exists()) == (2, False), err
    assert "can be resumed" in err


def test_a_run_goes_on_from_the_checkpoint_before_one(run, canary):
    newest, *_ = checkpoint.list_checkpoints(run / "checkpoints")
    planted = newest.with_name("step-00000009.pt")
    torch.save({"student": Bomb(canary)}, planted)
    found, problems = checkpoint.load_newest(run / "checkpoints")
    assert found.step == int(newest.stem.removeprefix("step-"))
    assert len(problems) == 1
    assert not canary.exists()


def test_the_app_refuses_one(evil, canary, figure):
    from app.cache import backbones
    from app.cache import backbones as cached_backbones

    for name, path in evil.items():
        data = path.read_bytes()
        for file_name in (path.name, "weights.safetensors", "model.onnx"):
            with pytest.raises(UserError, match="refused"):
                backbones.add_weights({}, file_name, data)
        # What is opened again for its student goes in by another way.
        opened = {"opened_weights": {name: (path.name, name, data)}}
        assert cached_backbones.checkpoint_of(name, opened) is None
        with pytest.raises(UserError, match="refused"):
            cached_backbones.open_network(name, "student", opened)
        with pytest.raises(UserError, match="refused"):
            backbones.start_sizes(str(path))
    assert not canary.exists()
    figure(5, "the app's “Open other weights”, student and teacher, start of a run", "all refused")


def test_arrays_with_objects_in_them_are_not_read(tmp_path, run, canary, figure):
    from helpers.shard_writing import write_shards

    from dino.evaluation.ground_truth import read_ground_truth
    from dino.features.cache import FeatureCache
    from dino.features.folder.files import read_features, read_thumbnails
    from dino.features.folder.store import PartStore
    from dino.media.photo_folders import open_folder
    from dino.media.shards import open_shards
    from dino.training.probes.filmstrip import read_filmstrip

    bomb = np.array([Bomb(canary)], dtype=object)
    names = ("features", "paths", "labels", "sha256", "dates", "jpegs", "ends", "rows", "photo-0")
    for file in ("features.npz", "thumbnails.npz", "parts/00000001.npz"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        np.savez(tmp_path / file, **dict.fromkeys(names, bomb))
    with pytest.raises(UserError):
        read_features(tmp_path)
    with pytest.raises(UserError):
        read_thumbnails(tmp_path)
    assert PartStore(tmp_path / "parts").rows() == {}

    strip = tmp_path / "filmstrip" / "epoch-0000"
    strip.mkdir(parents=True)
    (strip.parent / "photo-0.png").touch()
    np.savez(strip / "attention.npz", **{"photo-0": bomb})
    assert read_filmstrip(strip.parent) == []

    cache = FeatureCache(tmp_path / "cache")
    cache.arrays({"kind": "a"}, lambda: {"b": np.ones(1)})
    for kept in (tmp_path / "cache").glob("*.npz"):
        np.savez(kept, key=bomb, b=bomb)
    assert cache.arrays({"kind": "a"}, lambda: {"b": np.zeros(1)})["b"] == 0  # computed anew

    write_shards(open_folder(tmp_path / "photos"), tmp_path / "shards")
    index = tmp_path / "index"
    whole = open_shards(tmp_path / "shards", cache=index)
    for kept in index.glob("*.npz"):
        np.savez(kept, **dict.fromkeys(("offset", "size", "code", "about"), bomb))
    assert len(open_shards(tmp_path / "shards", cache=index)) == len(whole)

    truth = tmp_path / "gnd_roxford5k.pkl"
    truth.write_bytes(pickle.dumps({"imlist": ["a"], "qimlist": ["a"], "gnd": [Bomb(canary)]}))
    with pytest.raises(UserError, match="wants to run"):
        read_ground_truth(truth)
    assert not canary.exists()
    figure(
        5,
        "features, thumbnails, parts, filmstrips, cached features, index of shards, truth of retrieval",
        "refused, or made anew; no canary",
    )
