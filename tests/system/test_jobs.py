"""How a job is doing, from launch.json and what the job itself wrote."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from dino.errors import UserError
from dino.system.jobs import (
    Job,
    JobProgress,
    ProgressWriter,
    last_words,
    read_job,
    read_progress,
    stop,
)
from dino.system.processes import process_start_time


@dataclass(frozen=True)
class Counted(JobProgress):
    extra: int = 0


US = {"pid": os.getpid(), "start_time": process_start_time(os.getpid())}
GONE = {"pid": os.getpid(), "start_time": "1"}


def write(path: Path, values: dict, *, age_s: int = 0) -> None:
    path.write_text(json.dumps(values))
    os.utime(path, (1e9 - age_s, 1e9 - age_s))


@pytest.mark.parametrize(
    ("launch", "progress", "status", "reason"),
    [
        (None, None, "none", ""),
        ({"pid": "x"}, {"status": 3}, "none", ""),
        (US, None, "starting", ""),
        (US, {**US, "status": "running"}, "running", ""),
        (US, {**GONE, "pid": 1, "status": "failed", "reason": "before"}, "starting", ""),
        ({**US, "stopping": True}, {**US, "status": "running"}, "stopping", ""),
        (US, {**US, "status": "finished"}, "stopping", ""),
        (None, {**US, "status": "running"}, "running", ""),
        (GONE, {**GONE, "status": "stopped"}, "stopped", ""),
        (GONE, {**GONE, "status": "running"}, "failed", "its process ended without a word"),
        ({**GONE, "stopping": True}, None, "stopped", ""),
        (GONE, None, "failed", "no such photo"),
        (GONE, {"pid": 1, "status": "finished"}, "failed", "no such photo"),
    ],
)
def test_the_status_of_a_job(tmp_path, launch, progress, status, reason):
    (tmp_path / "console.txt").write_text("reads\nerror: no such photo\n\n")
    if launch:
        write(tmp_path / "launch.json", launch)
    if progress:
        write(tmp_path / "progress.json", progress, age_s=9)
    job = read_job(tmp_path, Counted)
    assert (job.status, job.reason) == (status, reason)
    assert job.active == (job.pid is not None)


def test_what_a_later_process_wrote_counts_more_than_a_launch_that_died(tmp_path):
    write(tmp_path / "launch.json", GONE, age_s=9)
    write(tmp_path / "progress.json", {"pid": 1, "status": "finished", "done": 4})
    assert read_job(tmp_path, Counted) == Job("finished", Counted("finished", 4, pid=1))


def test_progress_is_written_now_and_then_and_at_the_end(tmp_path):
    heard: list[Counted] = []
    writer = ProgressWriter(tmp_path, Counted("running", total=3), heard.append)
    for done in (1, 2, 3):
        writer.update(done=done, extra=done)
    assert read_progress(tmp_path, Counted).done < 3  # sooner than half a second
    writer.end("finished")
    assert [one.done for one in heard] == [0, 1, 2, 3, 3]
    assert read_progress(tmp_path, Counted) == heard[-1]
    assert (heard[-1].status, heard[-1].extra, heard[-1].pid) == ("finished", 3, os.getpid())
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_job_is_asked_to_stop_also_where_that_cannot_be_noted(tmp_path, monkeypatch):
    signals = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append(pid))
    with pytest.raises(UserError, match=r"launch\.json: cannot be written"):
        stop(tmp_path / "gone", Job("running", **US))
    stop(tmp_path, Job("running", **US))
    assert signals == [os.getpid()] * 2
    assert json.loads((tmp_path / "launch.json").read_text()) == {**US, "stopping": True}


def test_a_job_that_printed_nothing_has_a_sentence_too(tmp_path):
    assert last_words(tmp_path) == "it ended without a word"
