"""`eval report` on the command line: two files, what it says, and exit codes."""

import errno
import os
from functools import partial

import pytest
from helpers.report_cases import knn_report, masks_report, write_history


@pytest.fixture
def cli(cli):
    return partial(cli, "report")


def test_several_folders_make_one_report(cli, tmp_path):
    write_history(tmp_path / "one", knn_report(), knn_report(seconds=1.0))
    write_history(tmp_path / "two", masks_report())
    code, out, err = cli("one", "two", "--out", "deep/report")
    assert code == 0, err
    assert "2 measurements, 2026-01-02." in out
    assert "1 earlier run " in out
    html = (tmp_path / "deep" / "report" / "report.html").read_text()
    text = (tmp_path / "deep" / "report" / "report.md").read_text()
    for said in ("k-NN classification", "Attention as masks", "not the same data", "62.3"):
        assert said in html
        assert said in text
    assert "1.0 s" in html  # the later of the two


def test_results_is_the_default(cli, tmp_path):
    write_history(tmp_path / "results", knn_report())
    assert cli()[0] == 0
    assert (tmp_path / "report" / "report.html").exists()


def test_damaged_lines_are_named_and_the_rest_is_reported(cli, tmp_path):
    write_history(tmp_path / "results", "{", knn_report(), "no")
    code, out, err = cli("results")
    assert code == 1
    assert "results/history.jsonl: damaged and left out: line 1, 3" in err
    assert "2 damaged lines " in out
    assert (tmp_path / "report" / "report.md").exists()


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, 1), (errno.EROFS, 1), (errno.EACCES, 2)]
)
def test_a_full_disk_is_code_1_and_a_folder_of_others_wrong_use(
    cli, tmp_path, monkeypatch, number, expected
):
    write_history(tmp_path / "results", knn_report())

    def refuse(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    code, _, err = cli("results")
    assert code == expected
    assert f"cannot be written ({os.strerror(number)})" in err
    assert list((tmp_path / "report").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none",), "none does not exist"),
        (("empty",), "empty holds no history.jsonl"),
        (("results", "--out", "file"), "--out file cannot be made a folder"),
        ((), "results does not exist"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(cli, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    if "results" in words:
        write_history(tmp_path / "results", knn_report())
    code, _, err = cli(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "report").exists()


def test_a_folder_of_damaged_lines_alone_is_no_report(cli, tmp_path):
    write_history(tmp_path / "results", "{")
    code, _, err = cli("results")
    assert code == 2
    assert "no line of it says anything" in err
