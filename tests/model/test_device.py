"""Choosing by measuring: the quickest of each way decides, and no more is measured than a choice needs."""

import pytest

from dino.model.device import measure_gain


class Bench:
    """Two ways whose runs take the seconds given, by a clock of their own."""

    def __init__(self, usual: list[float], other: list[float]) -> None:
        self.now, self.turns = 0.0, 0
        self._seconds = {"usual": iter(usual), "other": iter(other)}

    def usual(self) -> None:
        self.turns += 1
        self.now += next(self._seconds["usual"])

    def other(self) -> None:
        self.now += next(self._seconds["other"])

    def gain(self, *, repeats: int, worthwhile: float) -> float:
        return measure_gain(
            self.usual, self.other, repeats=repeats, worthwhile=worthwhile, clock=lambda: self.now
        )


@pytest.mark.parametrize(
    ("usual", "worthwhile", "turns"),
    [
        (8.0, 1.5, 3),  # far above what decides
        (3.0, 1.5, 3),  # twice as much
        (2.75, 1.5, 12),
        (0.75, 1.5, 3),  # half as much
        (0.875, 1.5, 12),
        (2.125, 0.875, 3),
        (0.5, 0.875, 12),
    ],
)
def test_what_is_in_doubt_is_measured_longer(usual, worthwhile, turns):
    bench = Bench([usual] * 12, [1.0] * 12)
    assert bench.gain(repeats=12, worthwhile=worthwhile) == pytest.approx(usual)
    assert bench.turns == turns


def test_the_quickest_run_of_each_way_counts():
    bench = Bench([9.0, 2.0, 7.0, 2.5], [5.0, 4.0, 1.0, 9.0])
    assert bench.gain(repeats=4, worthwhile=1.5) == pytest.approx(2.0)
    assert bench.turns == 4


def test_a_way_that_one_turn_held_up_is_not_given_up_for_it():
    """At its first turn it would be half of what decides; its second puts it right."""
    bench = Bench([2.0] * 8, [8.0, 1.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0])
    assert bench.gain(repeats=8, worthwhile=1.5) == pytest.approx(2.0)
    assert bench.turns == 8
