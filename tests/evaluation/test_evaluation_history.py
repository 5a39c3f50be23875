"""Histories of evaluations: what counts as the same measurement, and lines that say nothing."""

import json
from dataclasses import asdict, replace

import pytest
from helpers.report_cases import SHA, knn_report, masks_report, write_history

from dino.errors import UserError
from dino.evaluation.report import results_csv, write_report
from dino.evaluation.summary.history import describe_history, parse_report, read_histories


def test_what_is_written_is_read_back(tmp_path):
    first, second = knn_report(), masks_report()
    for report in (first, second):
        write_report(report, tmp_path)
    found = read_histories([tmp_path])
    assert found.reports == (first, second)
    assert (found.num_older, found.damaged) == (0, ())


@pytest.mark.parametrize(
    "damaged",
    [
        "{",
        "[]",
        "null",
        '{"task": "knn"}',
        "\x00\x00",
        json.dumps(asdict(knn_report(rows=[]))),
        json.dumps(asdict(knn_report(rows=[1]))),
        json.dumps(asdict(knn_report(date="yesterday"))),
        json.dumps(asdict(knn_report(data={"num_images": 3}))),
        json.dumps(asdict(knn_report(weights={"sha256": SHA}))),
        "[" * 100_000,
    ],
)
def test_a_damaged_line_is_skipped_and_counted(tmp_path, damaged):
    write_history(tmp_path, knn_report(), damaged, "", masks_report())
    found = read_histories([tmp_path])
    assert [report.task for report in found.reports] == ["knn", "segmentation"]
    assert found.damaged == ((tmp_path / "history.jsonl", 2),)
    assert any("1 damaged line " in line for line in describe_history(found))


def test_the_latest_of_each_measurement_counts(tmp_path):
    old = knn_report(date="2026-01-01T00:00:00+00:00", seconds=1.0)
    # Later by the clock, although its own hours and the order of lines say otherwise.
    new = knn_report(date="2025-12-31T23:30:00-05:00", seconds=2.0)
    write_history(tmp_path, new, old)
    found = read_histories([tmp_path])
    assert found.reports == (new,)
    assert found.num_older == 1
    assert any("1 earlier run " in line for line in describe_history(found))


def test_a_folder_that_has_grown_is_the_same_measurement(tmp_path):
    small = knn_report()
    grown = replace(small, data=small.data | {"num_images": 151}, date="2026-02-01T00:00:00+00:00")
    write_history(tmp_path, small, grown)
    assert read_histories([tmp_path]).reports == (grown,)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"size": 112, "resize": None, "temperature": 0.07}},
        {"data": {"path": "elsewhere", "num_images": 150}},
        {"task": "linear"},
        {"weights": knn_report().weights | {"sha256": "cd" * 32}},
        {"weights": knn_report().weights | {"precision": "bf16"}},
    ],
    ids=["settings", "data", "task", "weights", "precision"],
)
def test_other_measurements_are_kept_apart(tmp_path, change):
    write_history(tmp_path, knn_report(), knn_report(**change))
    assert len(read_histories([tmp_path]).reports) == 2


def test_a_name_changes_nothing_where_the_digest_is_the_same(tmp_path):
    renamed = knn_report(weights=knn_report().weights | {"name": "copy"})
    write_history(tmp_path, knn_report(), renamed)
    assert read_histories([tmp_path]).num_older == 1


def test_folders_are_searched_below_and_each_file_is_read_once(tmp_path):
    write_history(tmp_path / "a" / "deep", knn_report())
    write_history(tmp_path / "b", masks_report())
    folders = [tmp_path, tmp_path / "a", tmp_path / "b" / "history.jsonl"]
    found = read_histories(folders)
    assert len(found.reports) == 2
    assert found.num_older == 0


@pytest.mark.parametrize(
    ("name", "words"), [("", "holds no history.jsonl"), ("none", "does not exist")]
)
def test_nothing_to_read_is_one_sentence(tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        read_histories([tmp_path / name])


def test_unknown_fields_of_a_later_version_do_no_harm():
    line = json.dumps(asdict(knn_report()) | {"mood": "fine"})
    assert parse_report(line) == knn_report()


def test_csv_of_several_reports_has_the_columns_of_all():
    lines = results_csv(knn_report(), masks_report()).splitlines()
    assert len(lines) == 1 + 2 + 8
    head = lines[0].split(",")
    assert head[:4] == ["task", "weights", "weights_sha256", "data"]
    assert {"k", "top1", "network", "best_head"} <= set(head)
