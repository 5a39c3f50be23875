"""Row 6: one flipped byte is noticed, and costs as little as it can."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training_cases import TINY, write_photos

from dino.errors import WeightsError
from dino.system.files import hash_file
from dino.training.config import TrainConfig
from dino.training.loop import fit
from dino.training.runs import checkpoint
from dino.training.runs.folder import METRICS, read_lines, read_run
from dino.weights.download import record, verify

pytestmark = pytest.mark.reliability

SAVE_EVERY = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path, TrainConfig]:
    """A run of eight steps saved every second, its photos and its config."""
    photos = write_photos(tmp_path_factory.mktemp("photos"), 8)
    config = replace(TINY, epochs=4, save_every=SAVE_EVERY, keep=3)
    folder = tmp_path_factory.mktemp("runs") / "run"
    return fit(config, photos, folder, workers=0, say=lambda _: None), photos, config


def flipped(data: bytes, place: int, bit: int) -> bytes:
    edited = bytearray(data)
    edited[place] ^= 1 << bit
    return bytes(edited)


def test_a_flipped_bit_in_fetched_weights_is_refused(tmp_path, small_weights, figure):
    path = tmp_path / "weights.safetensors"
    whole = small_weights.read_bytes()
    path.write_bytes(whole)
    record(path, hash_file(path))
    assert verify(path)
    rng = random.Random(0)
    places = [0, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(98))]
    for place in places:
        path.write_bytes(flipped(whole, place, rng.randrange(8)))
        with pytest.raises(WeightsError, match="was changed or damaged"):
            verify(path)
    figure(
        6, f"one bit flipped in fetched weights, {len(places)} times", "all refused by their hash"
    )


def test_a_flipped_bit_in_the_newest_checkpoint_costs_one_interval(run, tmp_path, figure):
    folder, photos, config = run
    whole = checkpoint.load_newest(folder / "checkpoints")[0]
    newest = checkpoint.list_checkpoints(folder / "checkpoints")[0]
    data, rng = newest.read_bytes(), random.Random(0)
    places = [0, len(data) - 1, *(rng.randrange(len(data)) for _ in range(8))]
    try:
        for place in places:
            newest.write_bytes(flipped(data, place, rng.randrange(8)))
            found, problems = checkpoint.load_newest(folder / "checkpoints")
            assert whole.step - found.step == SAVE_EVERY
            assert "is damaged" in problems[0]
        said: list[str] = []
        fit(config, photos, folder, resume=True, workers=0, say=said.append)
        assert "is damaged" in said[0]
        again = checkpoint.load_newest(folder / "checkpoints")[0]
        assert again.step == whole.step
        for name, tensor in whole.student.items():
            assert torch.equal(tensor, again.student[name]), name
    finally:
        newest.write_bytes(data)
    figure(
        6,
        f"one bit flipped in the newest checkpoint, {len(places)} times",
        f"refused by its hash, falls back one checkpoint ({SAVE_EVERY} steps); the run ends with the "
        "same weights bit for bit",
    )


def test_every_flipped_bit_in_a_line_of_metrics_is_noticed(run, tmp_path, command, figure):
    folder, _, _ = run
    path = folder / METRICS
    data = path.read_bytes()
    whole = read_lines(path).lines
    first_line = data.index(b"\n") + 1
    tried = 0
    try:
        for place in range(first_line):
            for bit in range(8):
                damaged = flipped(data, place, bit)
                path.write_bytes(damaged)
                found = read_lines(path)
                # What is read is what was written, whatever the name of the sum became.
                kept = [{k: v for k, v in line.items() if k in whole[0]} for line in found.lines]
                assert kept in (whole, whole[1:], whole[2:]), (place, bit)
                assert found.damaged or kept == whole, (place, bit)
                tried += 1
        path.write_bytes(flipped(data, data.index(b'"loss": ') + 9, 0))
        assert read_run(folder).damaged == 1
        assert read_run(folder).metrics == whole[1:]
        code, out, _ = command("runs", folder.parent)
        assert code == 0
        assert "1 damaged lines left out" in out
    finally:
        path.write_bytes(data)
    figure(
        6,
        f"every bit of a line of metrics flipped, {tried:,} in all",
        "the line is left out and counted, here and in the app; no wrong number is ever shown",
    )


def test_lines_of_earlier_versions_have_no_sum_and_are_read(tmp_path):
    path = tmp_path / METRICS
    path.write_text("".join(json.dumps({"step": n, "loss": 2.0}) + "\n" for n in (1, 2)))
    assert [line["step"] for line in read_lines(path).lines] == [1, 2]
    path.write_text('{"step": 1, "loss": "2.0"}\n{"step": true}\n{"step": 1, "loss": [2]}\n')
    assert read_lines(path).damaged == 3
