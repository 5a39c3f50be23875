"""Runs are processes that nobody owns: started once, stopped in order, known again, leaving no zombie."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.run_cases import STAND_IN, kill_left_over, wait_for, wait_until

from dino.errors import UserError
from dino.system import jobs as processes
from dino.system.jobs import check_name
from dino.system.processes import is_alive, process_start_time
from dino.training.config import TrainConfig
from dino.training.runs import jobs
from dino.training.runs.jobs import delete, resume, start, stop
from dino.training.runs.listing import active_runs, list_runs, read_job, summarize

CONFIG = TrainConfig(batch_size=2, epochs=10, warmup_epochs=0)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, tmp_path):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr("dino.system.jobs.COMMAND", (sys.executable, "-I", "-S", str(script)))
    yield
    kill_left_over(tmp_path / "runs")


@pytest.fixture
def photos(tmp_path, photo_file) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(photo_file.read_bytes())
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "runs"


def zombies(runs: list[Path]) -> list[int]:
    """Children of ours, and processes of these runs, that ended and that nobody took away."""
    started = {json.loads((run / "launch.json").read_text())["pid"] for run in runs}
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = int(path.parent.name), path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if rest[0] == "Z" and (pid in started or int(rest[1]) == os.getpid()):
            found.append(pid)
    return found


def test_start_stop_resume(root, photos):
    run = root / "mine"
    start(CONFIG, photos, run, knn=photos, film=[photos / "0.png"], threads=1, nice=5)
    assert summarize(run).status in ("starting", "running")
    wait_for(run, "running")
    assert active_runs(root) == [summarize(run)]
    words = json.loads((run / "words.json").read_text())
    assert words == [
        *("train", "--config", str(run / "requested.json"), "--out", str(run)),
        *("--data", str(photos), "--knn", str(photos), "--film", str(photos / "0.png")),
        *("--threads", "1", "--nice", "5"),
    ]
    assert TrainConfig.from_json((run / "requested.json").read_text()) == CONFIG
    assert summarize(run).total_steps == 6 // 2 * 10
    with pytest.raises(UserError, match="running already"):
        resume(run)
    stop(run)
    wait_for(run, "stopped")
    with pytest.raises(UserError, match="not running"):
        stop(run)
    resume(run)
    assert summarize(run).status in ("starting", "running")  # not the state of the process before
    wait_for(run, "running")
    assert summarize(run).total_steps == 30
    stop(run)
    assert summarize(run).status in ("stopping", "stopped")
    wait_for(run, "stopped")
    assert [found.name for found in list_runs(root)] == ["mine"]
    assert active_runs(root) == []


def test_a_run_is_in_a_session_of_its_own_and_outlives_who_started_it(root, photos):
    code = (
        "import sys; from dino.training.runs import jobs; from dino.training.config import TrainConfig;"
        f"from dino.system import jobs as processes; processes.COMMAND = {processes.COMMAND!r};"
        f"jobs.start(TrainConfig(batch_size=2), {str(photos)!r}, {str(root / 'orphan')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    wait_for(root / "orphan", "running")
    pid = read_job(root / "orphan").pid
    assert os.getsid(pid) == pid
    stop(root / "orphan")
    wait_for(root / "orphan", "stopped")


def test_of_many_that_start_one_run_at_once_one_gets_it(root, photos):
    code = (
        "import sys; from dino.training.runs import jobs; from dino.training.config import TrainConfig;"
        f"from dino.system import jobs as processes; processes.COMMAND = {processes.COMMAND!r}; sys.stdin.readline();"
        f"jobs.start(TrainConfig(batch_size=2), {str(photos)!r}, {str(root / 'one')!r})"
    )
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ends = [server.communicate("go\n", timeout=120)[1] for server in servers]
    assert sorted(server.returncode for server in servers) == [0, 1, 1]
    assert sum("there is a run named one already" in end for end in ends) == 2
    wait_for(root / "one", "running")
    stop(root / "one")
    wait_for(root / "one", "stopped")


def test_of_many_that_resume_one_run_at_once_one_does(root, photos):
    from concurrent.futures import ThreadPoolExecutor

    run = root / "mine"
    start(CONFIG, photos, run)
    wait_for(run, "running")
    stop(run)
    wait_for(run, "stopped")

    def attempt(_: int) -> bool:
        try:
            resume(run)
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    wait_for(run, "running")
    stop(run)
    wait_for(run, "stopped")


def test_thirty_starts_and_stops_leave_no_zombie(root, photos):
    runs = [root / f"run-{number}" for number in range(30)]
    for run in runs:
        start(CONFIG, photos, run)
    for run in runs:
        wait_for(run, "running")
        stop(run)
    for run in runs:
        wait_for(run, "stopped")
    wait_until(lambda: zombies(runs) == [])
    assert len(list_runs(root)) == 30


def test_a_start_that_dies_at_once_says_why(root, photos):
    run = root / "unlucky"
    start(TrainConfig(batch_size=2, seed=13), photos, run)
    wait_for(run, "failed")
    assert summarize(run).reason == "no luck with 13; take another seed"
    with pytest.raises(UserError, match="no checkpoint"):
        resume(run)
    delete(run, root=root)


def test_stopping_before_the_first_sign_of_life(root, photos):
    run = root / "early"
    start(TrainConfig(batch_size=2, seed=14), photos, run)
    wait_until((run / "config.json").exists)
    assert summarize(run).status == "starting"
    with pytest.raises(UserError, match="running; stop it"):
        delete(run, root=root)
    stop(run)
    wait_for(run, "stopped")
    assert summarize(run).reason == "before its first step"


def test_a_killed_run_reads_as_failed(root, photos):
    run = root / "killed"
    start(CONFIG, photos, run)
    wait_for(run, "running")
    os.kill(read_job(run).pid, signal.SIGKILL)
    wait_for(run, "failed")
    assert "ended without a word" in summarize(run).reason


def test_another_process_of_the_same_number_is_not_the_run(root):
    run = root / "old"
    run.mkdir(parents=True)
    (run / "config.json").write_text(CONFIG.to_json())
    state = {"pid": os.getpid(), "start_time": "1", "status": "running", "reason": ""}
    (run / "state.json").write_text(json.dumps(state))
    assert not read_job(run).active
    assert summarize(run).status == "failed"
    with pytest.raises(UserError, match="not running"):
        stop(run)  # or this would stop the tests


def test_a_run_counts_until_its_process_is_gone(root):
    run = root / "ending"
    run.mkdir(parents=True)
    (run / "config.json").write_text(CONFIG.to_json())
    us = {"pid": os.getpid(), "start_time": process_start_time(os.getpid())}
    (run / "state.json").write_text(json.dumps({**us, "status": "stopped", "reason": ""}))
    assert summarize(run).status == "stopped"  # as after `fit` in a notebook, which lives on
    assert not read_job(run).active
    (run / "launch.json").write_text(json.dumps({**us, "stopping": True}))
    assert summarize(run).status == "stopping"
    assert read_job(run).active


def test_a_zombie_is_not_alive_and_is_taken_away():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    stat = Path(f"/proc/{process.pid}/stat")
    started = stat.read_text().rsplit(")", 1)[1].split()[19]
    wait_until(lambda: ") Z " in stat.read_text())
    assert not is_alive(process.pid, started)
    assert not stat.exists()
    process.wait()


def test_no_photos_no_run(root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no photos"):
        start(CONFIG, tmp_path / "empty", root / "mine")
    assert list_runs(root) == []


@pytest.mark.parametrize("name", ["a", "my-run_2", "v1.0.3", "x" * 64, "console", "2024-01-31"])
def test_names_that_are_taken(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "end.", "a..b", "a/b", "../up", "a b", "ü", "a\n", "x" * 65],
)
def test_names_that_are_refused(name):
    with pytest.raises(UserError, match="expected letters, digits") as caught:
        check_name(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["con", "NUL", "com1", "lpt9.txt", "Aux.run"])
def test_names_that_systems_keep_are_refused(name):
    with pytest.raises(UserError, match="reserved"):
        check_name(name)


def made(root: Path, name: str) -> Path:
    run = root / name
    run.mkdir(parents=True)
    (run / "config.json").write_text(CONFIG.to_json())
    return run


def test_delete_takes_runs_below_the_root_and_nothing_else(root, tmp_path):
    inside, outside = made(root, "inside"), made(tmp_path / "elsewhere", "outside")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (inside / "data").symlink_to(kept)
    plain = root / "plain"
    plain.mkdir()
    (root / "link").symlink_to(outside)
    with pytest.raises(UserError, match="is not in"):
        delete(outside, root=root)
    with pytest.raises(UserError, match="is not in"):
        delete(root / "inside" / ".." / ".." / "elsewhere" / "outside", root=root)
    with pytest.raises(UserError, match="is not in"):
        delete(root, root=root)
    with pytest.raises(UserError, match="is a link"):
        delete(root / "link", root=root)
    with pytest.raises(UserError, match="is no run"):
        delete(plain, root=root)
    delete(inside, root=root)
    assert not inside.exists()
    assert outside.exists()
    assert plain.exists()
    assert (kept / "file").exists()
    with pytest.raises(UserError, match="deleted already"):
        delete(inside, root=root)


def test_a_hundred_long_runs_are_listed_quickly(root):
    metrics = "".join(
        json.dumps({"step": step, "epoch": step // 100, "loss": 3.0, "film": "x" * 300}) + "\n"
        for step in range(0, 20_000, 10)
    )
    probes = "".join(
        json.dumps({"step": 100 * epoch, "epoch": epoch, "knn": 20.0 + epoch / 10, "film": None})
        + "\n"
        for epoch in range(200)
    )
    for number in range(100):
        run = made(root, f"run-{number}")
        (run / "metrics.jsonl").write_text(metrics)
        (run / "probes.jsonl").write_text(probes)
        state = {"pid": 1, "start_time": "1", "status": "finished", "reason": ""}
        (run / "state.json").write_text(json.dumps(state))
    started = time.process_time()
    runs = list_runs(root)
    assert time.process_time() - started < 0.5
    assert len(runs) == 100
    assert (runs[0].step, runs[0].epoch, runs[0].loss) == (19_990, 199, 3.0)
    assert (runs[0].knn_start, runs[0].knn) == (20.0, 39.9)


def test_half_lines_and_missing_columns_are_read_as_far_as_they_go(root):
    run = made(root, "crashed")
    (run / "metrics.jsonl").write_text('{"step": 10, "loss": 2.5}\n{"step": 20, "lo')
    (run / "probes.jsonl").write_text('{"step": 0, "epoch": 0, "knn": null}\n{"step": 5')
    found = summarize(run)
    assert (found.status, found.step, found.loss) == ("failed", 10, 2.5)
    assert (found.knn_start, found.knn, found.images_per_s) == (None, None, None)
    (run / "probes.jsonl").write_text('{"step": 0, "epoch": 0, "knn": 12.5, "film": null}\n')
    assert (summarize(run).knn_start, summarize(run).knn) == (12.5, None)


@pytest.mark.parametrize("name", ["config.json", "state.json", "launch.json", "data.json"])
@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"pid": "x"}', '{"batch_size": "x", "num_photos": "y"}']
)
def test_foreign_files_never_take_the_list_down(root, name, text):
    made(root, "good")
    run = made(root, "odd")
    for file in ("state.json", "launch.json", "data.json"):
        (run / file).write_text("{}")
    (run / name).write_text(text)
    assert "good" in [found.name for found in list_runs(root)]
    assert not read_job(run).active
    assert active_runs(root) == []


def test_check_reads_what_a_dry_run_prints(tmp_path, photos, monkeypatch):
    script = tmp_path / "dry.py"
    script.write_text('print("photos   6\\nsteps    30")\nprint("{\\n \\"seed\\": 0\\n}")')
    monkeypatch.setattr("dino.system.jobs.COMMAND", (sys.executable, str(script)))
    assert jobs.check(CONFIG, photos, place=tmp_path) == ["photos   6", "steps    30"]
    script.write_text('import sys; sys.exit("error: 6 photos cannot fill one batch of 64")')
    with pytest.raises(UserError, match=r"^6 photos cannot fill one batch of 64$"):
        jobs.check(CONFIG, photos, place=tmp_path)
