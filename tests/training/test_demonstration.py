"""The demonstration trains for real: it learns, and dies in the two ways the paper names."""

import math

import pytest
import torch

from dino.errors import UserError
from dino.training.teaching.demonstration import (
    KINDS,
    OUT_DIM,
    Demonstration,
    Outcome,
    Trainee,
    conclude,
    disturb,
    draw_pictures,
)

MOST = math.log(OUT_DIM)


def last(**settings) -> tuple[dict[str, float], str | None]:
    *_, point = Trainee(Demonstration(**settings)).points()
    return point.values, point.verdict


@pytest.mark.parametrize("seed", [0, 1])
def test_with_both_it_learns_and_does_not_collapse(seed):
    *points, outcome = conclude(Trainee(Demonstration(seed=seed)))
    assert isinstance(outcome, Outcome)
    assert outcome.points == tuple(points)
    assert all(point.verdict is None for point in points)
    values = points[-1].values
    assert values["batch_mean_entropy"] > 0.6 * MOST  # many prototypes are in use
    assert values["teacher_entropy"] < 0.5 * MOST  # each picture names few
    assert outcome.knn_after > outcome.knn_before + 25


@pytest.mark.parametrize("seed", [0, 1])
def test_without_centring_all_pictures_get_one_answer(seed):
    values, verdict = last(
        centering=False, seed=seed, steps=320
    )  # 40 with torch 2.14, 260 with 2.6
    assert values["batch_mean_entropy"] < 0.01
    assert verdict is not None
    assert verdict.startswith("one-dimensional collapse")


@pytest.mark.parametrize("seed", [0, 1])
def test_without_sharpening_every_answer_is_flat(seed):
    values, verdict = last(sharpening=False, seed=seed, steps=200)
    assert values["teacher_entropy"] == pytest.approx(MOST, abs=1e-3)
    assert values["loss"] == pytest.approx(MOST, abs=1e-2)  # the loss of a flat answer is ln K
    assert verdict is not None
    assert verdict.startswith("uniform collapse")


def test_a_seed_is_a_curve():
    def curve(seed: int) -> list[float]:
        return [p.values["loss"] for p in Trainee(Demonstration(seed=seed, steps=24)).points()]

    torch.manual_seed(5)
    first = curve(3)
    torch.manual_seed(6)  # what others draw does not matter
    assert curve(3) == first
    assert curve(4) != first


def test_the_global_generator_is_left_as_it_was():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(Trainee(Demonstration(steps=2)).points())
    assert torch.equal(torch.rand(3), expected)


def test_points_come_at_every_nth_step_and_the_last():
    steps = [p.step for p in Trainee(Demonstration(steps=12, every=5)).points()]
    assert steps == [0, 5, 10, 11]


def test_the_teacher_is_the_moving_average_of_the_student():
    trainee = Trainee(Demonstration(steps=1, momentum=0.75))
    before = [p.clone() for p in trainee.teacher.parameters()]
    list(trainee.points())
    for old, student, teacher in zip(
        before, trainee.student.parameters(), trainee.teacher.parameters(), strict=True
    ):
        assert torch.allclose(teacher, 0.75 * old + 0.25 * student, atol=1e-7)


def test_bars_lie_as_they_are_called():
    pictures, kinds = draw_pictures(40, torch.Generator().manual_seed(0))
    assert pictures.shape == (40, 1, 12, 12)
    assert kinds.tolist()[:5] == [0, 1, 2, 3, 0]
    for picture, kind in zip(pictures[:, 0], kinds.tolist(), strict=True):
        along, across = picture.std(dim=1).max(), picture.std(dim=0).max()
        if KINDS[kind] == "horizontal bar":
            assert along == 0
            assert across > 0.2
        if KINDS[kind] == "vertical bar":
            assert across == 0
            assert along > 0.2


def test_two_views_of_a_picture_differ():
    random = torch.Generator().manual_seed(0)
    pictures, _ = draw_pictures(4, random)
    assert not torch.equal(disturb(pictures, random), disturb(pictures, random))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"every": 0}, {"momentum": 1.0}, {"seed": -1}], ids=str
)
def test_wrong_settings_are_one_sentence(wrong):
    with pytest.raises(UserError, match="expected"):
        Demonstration(**wrong)
