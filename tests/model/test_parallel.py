"""Several photos at a time: in order, the cores shared, and nothing begun after a failure."""

import threading
import time
from types import SimpleNamespace

import pytest
import torch

from dino.model import parallel
from dino.model.parallel import map_photos, photos_at_once


@pytest.fixture
def three_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_whichever_is_done_first(three_cores):
    def slow_at_first(item):
        time.sleep(0.05 if item == 1 else 0)
        return item * 10, threading.current_thread() is threading.main_thread()

    found = list(map_photos(slow_at_first, range(6), at_once=2))
    assert [value for value, _ in found] == [0, 10, 20, 30, 40, 50]
    assert [in_main for _, in_main in found] == [True] + [False] * 5


def test_two_really_run_at_once(three_cores):
    both_here = threading.Barrier(2, timeout=10)
    assert len(list(map_photos(lambda item: item and both_here.wait(), range(5), at_once=2))) == 5


@pytest.mark.parametrize(("cores", "share"), [(1, 1), (3, 1), (4, 2), (9, 4)])
def test_each_has_its_share_of_the_cores_but_the_first_and_all_are_given_back(
    three_cores, cores, share
):
    torch.set_num_threads(cores)
    found = list(map_photos(lambda _: torch.get_num_threads(), range(4), at_once=2))
    assert found == [cores, share, share, share]
    assert torch.get_num_threads() == cores


def test_few_photos_share_all_cores(three_cores):
    torch.set_num_threads(8)
    assert list(map_photos(lambda _: torch.get_num_threads(), range(3), at_once=8)) == [8, 4, 4]


@pytest.mark.parametrize(("items", "at_once"), [(0, 2), (1, 2), (2, 2), (5, 1)])
def test_what_gains_nothing_stays_in_its_thread_with_all_cores(three_cores, items, at_once):
    def seen(_):
        return threading.current_thread() is threading.main_thread(), torch.get_num_threads()

    assert list(map_photos(seen, range(items), at_once=at_once)) == [(True, 3)] * items


def test_a_failure_is_raised_in_its_place_and_what_has_not_begun_never_does(three_cores):
    begun, found = set(), []

    def fail_at_two(item):
        begun.add(item)
        if item == 2:
            raise ValueError("two")
        time.sleep(0.05)
        return item

    with pytest.raises(ValueError, match="two"):
        found.extend(map_photos(fail_at_two, range(50), at_once=2))
    assert found == [0, 1]
    assert len(begun) < 10
    assert torch.get_num_threads() == 3


def test_one_who_stops_listening_stops_the_work(three_cores):
    begun = set()

    def note(item):
        begun.add(item)
        time.sleep(0.02)

    results = map_photos(note, range(50), at_once=2)
    next(results), next(results)
    results.close()
    assert len(begun) < 10
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("device", "cores", "free_photos", "expected"),
    [
        ("cpu", 6, 100, 6),
        ("cpu", 64, 100, 8),
        ("cpu", 12, 100, 6),  # two cores each
        ("cpu", 6, 5, 3),  # 0.7 of the memory that is free
        ("cpu", 6, 0.1, 1),
        ("cuda", 16, 100, 4),
        ("cuda", 16, 5, 2),
        ("cuda", 2, 100, 2),
        ("mps", 8, 100, 1),
    ],
)
def test_as_many_as_there_are_cores_and_memory(monkeypatch, device, cores, free_photos, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(parallel, "forward_bytes", lambda _, grid: grid[0] * grid[1])
    monkeypatch.setattr(parallel, "_PHOTO_BYTES", 100)
    monkeypatch.setattr(parallel, "free_bytes", lambda _: int(1000 * free_photos))
    backbone = SimpleNamespace(device=torch.device(device), patch_size=16)
    assert photos_at_once(backbone, 480) == expected


def test_what_a_photo_takes_beside_lets_fewer_in(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(parallel, "forward_bytes", lambda *_: 900)
    monkeypatch.setattr(parallel, "_PHOTO_BYTES", 100)
    monkeypatch.setattr(parallel, "free_bytes", lambda _: 10_000)
    backbone = SimpleNamespace(device=torch.device("cpu"), patch_size=16)
    assert [photos_at_once(backbone, 480, beside=more) for more in (0, 1400, 9000)] == [6, 2, 1]
