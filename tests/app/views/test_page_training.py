"""The Training page and the sidebar's section, on hand-made runs and with a stand-in for the engine."""

import json
import math
import os
import sys
from pathlib import Path

import pytest
from helpers.app_cases import text
from helpers.run_cases import CONFIG, STAND_IN, kill_left_over, make_run, wait_for
from streamlit.testing.v1 import AppTest

from dino.system import jobs
from dino.system.processes import process_start_time
from dino.training.config import TrainConfig
from dino.training.runs.listing import list_runs, summarize

TIMEOUT_S = 60


def page() -> None:
    """Run as AppTest's script: the sidebar and the page, as app/main.py does."""
    import streamlit as st

    from app.ui import sidebar
    from app.views.training import page as training_page

    training_page.show(sidebar.choose(), lambda weights: st.session_state.update(looked=weights))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, small_weights):
    """Set up small weights, empty folders, and photos of two classes below the data root."""
    import streamlit as st

    st.cache_data.clear()
    st.cache_resource.clear()
    monkeypatch.setenv("DINO_WEIGHTS", str(small_weights))
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.setenv("DINO_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.delenv("DINO_RUNS", raising=False)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "checkpoints" / "runs"


@pytest.fixture
def photos(tmp_path, photo_file) -> Path:
    for label in ("cat", "dog"):
        folder = tmp_path / "data" / "pets" / label
        folder.mkdir(parents=True)
        for number in range(6):
            (folder / f"{number}.png").write_bytes(photo_file.read_bytes())
    return tmp_path / "data" / "pets"


@pytest.fixture
def engine(monkeypatch, tmp_path, root):
    """Stand in for the engine: start at once and run until stopped."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-I", "-S", str(script)))
    yield
    kill_left_over(root)


def opened(session: dict | None = None, **params: str) -> AppTest:
    at = AppTest.from_function(page, default_timeout=TIMEOUT_S)
    for key, value in (session or {}).items():
        at.session_state[key] = value
    for key, value in params.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception, at.exception
    return at


def button(at: AppTest, label: str, where: str = "main"):
    (found,) = (b for b in getattr(at, where).button if b.label == label)
    return found


def charts(at: AppTest) -> dict[str, dict]:
    """Find the Plotly figures by their accessible name."""
    return {e.proto.alt: json.loads(e.proto.spec) for e in at.main.get("plotly_chart")}


def chart(at: AppTest, begins: str) -> dict:
    (found,) = (spec for alt, spec in charts(at).items() if alt.startswith(begins))
    return found


# Runs -------------------------------------------------------------------------------------------


def test_without_runs_the_form_is_shown_and_runs_says_there_are_none(photos):
    at = opened()
    assert "Name of the run" in [field.label for field in at.main.text_input]
    at.segmented_control(key="train_part").set_value("runs").run()
    assert not at.exception
    assert "There are no runs" in text(at)
    assert at.query_params["part"] == "runs"


def test_a_finished_run_shows_table_charts_and_verdict(root):
    make_run(root, "good")
    at = opened()
    said = text(at)
    assert (
        "good finished at step 30 of 30. k-NN got better by 11.4 points: from 20.0 % at the start to "
        "31.4 % at step 3."
    ) in said
    (table,) = at.main.dataframe
    row = table.value.iloc[0]
    assert (row["Run"], row["Step"], row["k-NN"]) == ("good", "30 / 30", "20.0 → 31.4")
    assert list(row["State"]) == ["✓ finished"]
    titles = [alt.split(" of ")[0] for alt in charts(at)]
    assert titles == ["Loss", "k-NN, %", "Entropy and KL, bits", "Learning rate", "Photos a second"]
    assert chart(at, "Loss")["data"][0]["name"] == "good"
    entropy = chart(at, "Entropy")
    assert [trace["line"]["dash"] for trace in entropy["data"]] == ["solid", "dash", "dot"]
    assert entropy["layout"]["annotations"][0]["text"] == "log₂ K = 5.00"
    assert entropy["data"][0]["y"][-1] == pytest.approx(2.0 / math.log(2))  # a run records nats
    assert at.query_params["runs"] == "good"


@pytest.mark.parametrize(
    ("knn", "says"),
    [
        ((), "No labelled folder was given, so nothing says whether it got better."),
        ((None, None), "No labelled folder was given, so nothing says whether it got better."),
        ((40.0,), "measured once only"),
        ((40.0, 33.0), "k-NN got worse by 7.0 points: from 40.0 % at the start to 33.0 %"),
        ((40.0, 41.0), "k-NN is no different from the start"),
    ],
)
def test_the_verdict_claims_no_more_than_was_measured(root, knn, says):
    make_run(root, "any", knn=knn)
    assert says in text(opened())


def test_the_verdict_tells_j_as_well():
    from app.views.training.monitor import verdict

    probes = [
        {"step": 0, "epoch": 0, "knn": 20.0, "jaccard": 0.30},
        {"step": 9, "epoch": 3, "knn": 30.0, "jaccard": 0.25},
    ]
    assert verdict(probes) == (
        "k-NN got better by 10.0 points: from 20.0 % at the start to 30.0 % at step 9. "
        "J of the attention masks got worse by 5.0 points: from 30.0 % at the start to 25.0 % at step 9."
    )


def test_a_running_run_shows_progress_and_time_left_here_and_in_the_sidebar(root):
    make_run(root, "busy", status="running", steps=10)
    at = opened()
    (bar,) = at.main.get("progress")
    assert "busy · step 10 of 30 · epoch 4 of 10 · 10 s left" in bar.proto.text.replace("\\", "")
    assert bar.proto.value == 33
    (small,) = at.sidebar.get("progress")
    assert small.proto.text == "33% · epoch 4 of 10 · loss 2.90"
    labels = [b.label for b in at.main.button]
    assert "Stop" in labels
    assert "Resume" not in labels
    assert not any(label.startswith("Delete") for label in labels)
    assert "got better" not in text(at)


def test_nothing_polls_while_nothing_runs(root, monkeypatch):
    import streamlit as st

    periods: list[float | None] = []
    real = st.fragment

    def fragment(function=None, *, run_every=None, **options):
        periods.append(run_every)
        return real(function, run_every=run_every, **options)

    monkeypatch.setattr(st, "fragment", fragment)
    make_run(root, "done")
    opened()
    assert periods
    assert set(periods) == {None}
    make_run(root, "busy", status="running", steps=10)
    periods.clear()
    opened(part="runs", runs="busy")
    assert {p for p in periods if p} == {3.0, 4.0}
    periods.clear()
    opened(part="runs", runs="done")
    assert len([p for p in periods if p]) == 2  # table and sidebar, not the charts


def test_a_failed_run_says_why_and_a_collapse_is_an_error(root):
    log = (
        "2025-01-01 12:00:00 running\n"
        "2025-01-01 12:10:00 uniform collapse: the teacher's outputs are flat (entropy 3.46 of ln K = "
        "3.47); lower the learning rate\n"
    )
    make_run(root, "bad", status="failed", reason="the loss was not finite at step 30", log=log)
    at = opened()
    errors = [e.value.replace("\\", "") for e in at.error]
    assert errors[0] == "bad failed: the loss was not finite at step 30."
    assert errors[1].startswith("bad, 2025-01-01 12:10:00: uniform collapse: the teacher's outputs")
    assert log.splitlines()[0] in at.main.code[0].value


def test_several_runs_are_drawn_over_each_other_and_keep_their_colours(root):
    for name in ("one", "two", "three"):
        make_run(root, name)
    at = opened(part="runs", runs="one,two")
    before = {t["name"]: t["line"]["color"] for t in chart(at, "Loss")["data"]}
    assert len(set(before.values())) == 2
    assert chart(at, "Loss")["layout"]["showlegend"]
    at.query_params["runs"] = "two,three"
    at.run()
    after = {t["name"]: t["line"]["color"] for t in chart(at, "Loss")["data"]}
    assert after["two"] == before["two"]
    assert len(set(after.values())) == 2
    at.pills(key="train_focus").set_value("three").run()
    assert not at.exception
    assert button(at, "Delete three")
    at.query_params["runs"] = "one,two"  # without the one in focus
    at.run()
    assert not at.exception
    assert at.pills(key="train_focus").value == "two"
    assert button(at, "Delete two")


def test_runs_of_a_link_that_are_not_here_are_left_out(root):
    make_run(root, "here")
    at = opened(part="runs", runs="../../etc,gone,<b>here</b>,here")
    assert at.query_params["runs"] == "here"
    at = opened(part="runs", runs="gone")
    assert "Choose a run in the table" in text(at)


def test_a_supervised_run_without_the_teacher_s_columns_is_shown(root):
    run = make_run(root, "labels")
    lines = [{"step": s, "epoch": 0, "images_seen": s, "loss": 2.0, "lr": 0.1} for s in (1, 2)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    at = opened()
    assert not any(alt.startswith("Entropy") for alt in charts(at))
    assert chart(at, "Loss")["data"][0]["mode"] == "lines"


def test_a_run_that_has_only_been_launched_is_shown(root):
    run = root / "early"
    run.mkdir(parents=True)
    (run / "requested.json").write_text(CONFIG.to_json())
    launch = {"pid": os.getpid(), "start_time": process_start_time(os.getpid())}
    (run / "launch.json").write_text(json.dumps({**launch, "stopping": False, "num_photos": 12}))
    (run / "console.txt").write_text("photos   12\n")
    at = opened()
    assert "early · starting" in text(at)
    assert "photos   12" in at.main.code[0].value


def test_the_film_follows_the_newest_epoch_until_another_is_chosen(root, photo_file):
    run = make_run(root, "film")

    def draw(epoch: int) -> None:
        folder = run / "filmstrip" / f"epoch-{epoch:04d}"
        folder.mkdir(parents=True)
        for number in range(2):
            (folder / f"photo-{number}.png").write_bytes(photo_file.read_bytes())

    for epoch in (0, 5):
        draw(epoch)
    for number in range(2):
        (run / "filmstrip" / f"photo-{number}.png").write_bytes(photo_file.read_bytes())
    at = opened()
    assert "at epoch 5" in text(at)
    draw(10)
    at.run()
    assert "at epoch 10" in text(at)
    at.select_slider(key="train_film_epoch_film_3").set_value(0).run()
    draw(15)
    at.run()
    assert "at epoch 0" in text(at)
    at.pills(key="train_film_photo_film").set_value("2").run()
    assert not at.exception
    alts = [image.alt for element in at.main.get("image") for image in element.proto.imgs]
    assert "Attention maps of all heads, side by side, at epoch 0" in alts
    assert all(alts)


def test_a_run_is_opened_in_attention_with_one_click_and_by_a_link(root, small_weights):
    from app.cache import backbones
    from app.state import weights_menu

    run = make_run(root, "mine")
    assert button(opened(), "Open in Attention").disabled
    (run / "weights").mkdir()
    (run / "weights" / "teacher.safetensors").write_bytes(small_weights.read_bytes())
    at = opened()
    button(at, "Open in Attention").click().run()
    assert not at.exception
    assert at.session_state["looked"] == "run:mine"
    at.run()
    assert at.sidebar.selectbox(key="weights").value == "run:mine"
    at = opened(weights="run:mine")
    assert at.sidebar.selectbox(key="weights").value == "run:mine"
    assert backbones.open_weights("run:mine", {}).depth == 2
    assert weights_menu.weights_location("run:mine", {}) == str(
        run / "weights" / "teacher.safetensors"
    )
    before = weights_menu.stamp(weights_menu.weights_location("run:mine", {}))
    os.utime(run / "weights" / "teacher.safetensors", ns=(1, 1))
    assert weights_menu.stamp(weights_menu.weights_location("run:mine", {})) != before


def test_deleting_asks_with_the_name_and_takes_that_run_only(root):
    make_run(root, "old")
    make_run(root, "kept")
    at = opened(part="runs", runs="old")
    assert "Delete **old** with its checkpoints" in text(at)
    button(at, "Delete old").click().run()
    assert not at.exception
    assert [run.name for run in list_runs(root)] == ["kept"]


def test_the_sidebar_does_not_miss_the_weights_of_a_run_that_is_deleted(root, small_weights):
    run = make_run(root, "old")
    (run / "weights").mkdir()
    (run / "weights" / "teacher.safetensors").write_bytes(small_weights.read_bytes())
    at = opened(part="runs", runs="old", weights="run:old")
    assert at.sidebar.selectbox(key="weights").value == "run:old"
    button(at, "Delete old").click().run()
    assert not at.exception
    assert not at.error
    assert at.sidebar.selectbox(key="weights").value == "small"


def outlined_beside(photos: Path) -> Path:
    """Write two photos with masks, in a folder of the data root."""
    from PIL import Image

    folder = photos.parent / "outlined"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for name in ("one", "two"):
            Image.new("L", (32, 32), 200).save(folder / kind / f"{name}.png")
    return folder


def test_a_duplicate_fills_the_form(root, photos):
    run = make_run(root, "first-1")
    masks = outlined_beside(photos)
    inputs = {"data": str(photos), "knn": str(photos), "masks": str(masks), "film": []}
    (run / "data.json").write_text(json.dumps(inputs))
    at = opened()
    button(at, "Duplicate with changes").click().run()
    assert not at.exception
    assert at.text_input(key="train_name").value == "first-2"
    assert at.selectbox(key="train_data").value == "pets"
    assert at.selectbox(key="train_knn").value == "pets"
    assert at.selectbox(key="train_masks").value == "outlined"
    assert at.number_input(key="train_set_global_size").value == 32
    assert at.number_input(key="train_set_out_dim").value == 32
    assert at.number_input(key="train_set_epochs").value == 10
    assert at.query_params["part"] == "new"
    assert not button(at, "Start").disabled


# New run ----------------------------------------------------------------------------------------


def test_every_setting_has_a_widget_with_help(photos):
    from dataclasses import fields

    from app.views.training import settings

    at = opened()
    assert [tab.label for tab in at.main.tabs] == [*dict.fromkeys(settings.GROUPS), "Machine"]
    kinds = ("selectbox", "number_input", "text_input", "toggle")
    widgets = {w.key: w for kind in kinds for w in at.main.get(kind) if w.key}
    for field in fields(TrainConfig):
        if field.name == "init":
            continue
        names = [f"train_set_{field.name}", f"train_set_{field.name}_from"]
        found = [widgets[name] for name in names if name in widgets]
        assert found, field.name
        assert field.metadata["help"] in found[0].help


def test_photos_and_labels_are_found_and_counted(photos):
    at = opened()
    assert at.selectbox(key="train_data").value == "pets"
    assert at.selectbox(key="train_knn").value == "pets"
    assert text(at).count("12 photos in 2 classes") == 2
    assert not at.error
    assert not button(at, "Start").disabled
    at.number_input(key="train_set_batch_size").set_value(64).run()
    assert "12 photos cannot fill one batch of 64" in text(at)
    assert button(at, "Start").disabled


def test_what_is_wrong_is_said_at_once_in_one_sentence(photos):
    at = opened()
    fitted = at.number_input(key="train_set_batch_size").value
    at.number_input(key="train_set_batch_size").set_value(4).run()
    at.number_input(key="train_set_global_size").set_value(100).run()
    (error,) = at.error
    assert "global_size is 100; expected a multiple of the patch" in error.value.replace("\\", "")
    assert at.number_input(key="train_set_global_size").value == 100
    at.number_input(key="train_set_global_size").set_value(96).run()
    at.text_input(key="train_name").set_value("../evil").run()
    (error,) = at.error
    assert "the name is '../evil'" in error.value.replace("\\", "")
    assert button(at, "Start").disabled
    at.number_input(key="train_set_global_scale_from").set_value(2.0).run()
    assert "global_scale" in text(at)
    button(at, "Back to the preset").click().run()
    assert "global_scale" not in text(at)
    assert at.number_input(key="train_set_batch_size").value == fitted


def test_a_preset_sets_what_was_not_chosen(photos):
    at = opened()
    assert at.number_input(key="train_set_out_dim").value == 1024
    at.selectbox(key="train_preset").set_value("vanilla").run()
    assert at.number_input(key="train_set_out_dim").value == 65_536
    assert at.text_input(key="train_set_arch").value == "vit_small"
    assert at.text_input(key="train_name").value == "vanilla-pets-1"
    at.toggle(key="train_set_centering").set_value(False).run()
    assert "Changed from the preset: Centring" in text(at)


@pytest.mark.parametrize("path", ["../..", "/etc", "pets/../../..", "gone", "a\0b", "upload:../x"])
def test_paths_outside_the_data_root_are_refused(photos, path):
    at = opened({"train_data": path})
    assert at.error
    assert "Choose the photos to learn from." in text(at)
    assert not any(b.label == "Start" for b in at.main.button)


def test_a_link_out_of_the_data_root_is_not_followed(photos, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "outside")
    at = opened()
    assert at.selectbox(key="train_data").options == ["pets"]
    assert "is not below" in text(opened({"train_data": "link"}))


def test_an_uploaded_zip_becomes_the_photos(photos, tmp_path, photo_file):
    import io
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/notes.txt"):
            archive.writestr(f"My Photos/{name}", photo_file.read_bytes())
    at = opened()
    at.file_uploader(key="train_zip").upload("My Photos!.zip", data.getvalue()).run()
    assert at.text_input(key="train_zip_name").value == "My-Photos"
    button(at, "Unpack").click().run()
    assert not at.exception
    assert "3 photos unpacked; 1 other file left out." in text(at)
    assert at.selectbox(key="train_data").value == "upload:My-Photos"
    assert "3 photos in 2 classes" in text(at)
    button(at, "Unpack").click().run()
    assert "My-Photos exists already" in text(at)
    at.file_uploader(key="train_zip").upload("evil.zip", b"no zip").run()
    button(at, "Unpack").click().run()
    assert not at.exception
    assert at.error


def test_starting_from_weights_fits_the_crops_to_their_patches(photos, small_weights):
    at = opened()
    at.selectbox(key="train_weights").set_value("small").run()
    assert not at.exception
    assert at.number_input(key="train_set_patch_size").value == 8
    assert "train_set_arch" not in [field.key for field in at.main.text_input]
    assert "random_vits16" not in at.selectbox(key="train_weights").options


def test_attention_is_measured_on_photos_with_masks(photos, root, engine):
    outlined = outlined_beside(photos)
    at = opened()
    at.selectbox(key="train_masks").set_value("pets").run()
    assert not at.exception
    assert "pets" in at.error[0].value
    assert button(at, "Start").disabled
    at.selectbox(key="train_masks").set_value("outlined").run()
    assert not at.error
    assert "2 photos with masks" in text(at)
    at.number_input(key="train_set_batch_size").set_value(4).run()
    at.text_input(key="train_name").set_value("masked").run()
    button(at, "Start").click().run()
    wait_for(root / "masked", "running")
    words = json.loads((root / "masked" / "words.json").read_text())
    assert words[words.index("--masks") + 1] == str(outlined)
    at.run()
    button(at, "Stop").click().run()
    wait_for(root / "masked", "stopped")


def test_start_stop_resume_delete(photos, root, engine):
    at = opened()
    at.number_input(key="train_set_batch_size").set_value(4).run()
    at.text_input(key="train_name").set_value("mine").run()
    button(at, "Start").click().run()
    assert not at.exception
    assert at.query_params["part"] == "runs"
    assert at.query_params["runs"] == "mine"
    run = root / "mine"
    wait_for(run, "running")
    words = json.loads((run / "words.json").read_text())
    config = json.loads((run / "requested.json").read_text())
    assert (config["batch_size"], config["arch"]) == (4, "vit_tiny")
    assert words[words.index("--data") + 1] == str(photos)
    assert words[words.index("--knn") + 1] == str(photos)
    assert words.count("--film") == 4  # the photo in the sidebar, and three of these
    assert int(words[words.index("--threads") + 1]) >= 1
    at.run()
    button(at, "Stop").click().run()
    wait_for(run, "stopped")
    at.run()
    button(at, "Resume").click().run()
    wait_for(run, "running")
    at.run()
    button(at, "Stop").click().run()
    wait_for(run, "stopped")
    at.run()
    button(at, "Delete mine").click().run()
    assert not at.exception
    assert list_runs(root) == []


def test_a_name_taken_meanwhile_is_said(photos, root, engine):
    make_run(root, "taken")
    at = opened(part="new")
    at.number_input(key="train_set_batch_size").set_value(4).run()
    at.text_input(key="train_name").set_value("taken").run()
    assert "there is a run named taken already" in text(at)
    assert button(at, "Start").disabled


def test_check_shows_what_the_dry_run_says(photos, monkeypatch, tmp_path):
    script = tmp_path / "dry.py"
    script.write_text('print("photos   12\\ntime     about 3 min")\nprint("{}")')
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, str(script)))
    at = opened()
    at.number_input(key="train_set_batch_size").set_value(4).run()
    button(at, "Check").click().run()
    assert not at.exception
    assert at.main.code[0].value == "photos   12\ntime     about 3 min"
    at.number_input(key="train_set_batch_size").set_value(6).run()
    assert not at.main.code  # of other settings


# Sidebar ----------------------------------------------------------------------------------------


def test_the_chosen_weights_are_fine_tuned_from_the_sidebar(photos, root, engine, small_weights):
    at = opened()
    assert "tune_data" not in [box.key for box in at.sidebar.selectbox]  # nothing is looked for yet
    at.session_state["tune_open"] = True
    at.run()
    assert at.sidebar.selectbox(key="tune_data").value == "pets"
    at.sidebar.button(key="tune_start").click().run()
    assert not at.exception
    assert not at.sidebar.error
    wait_for(root / "tuned-pets-1", "running")
    config = TrainConfig.from_json((root / "tuned-pets-1" / "requested.json").read_text())
    assert config.init == str(small_weights)
    assert config.patch_size == 8
    at.run()
    assert summarize(root / "tuned-pets-1").active
    assert [bar.proto.text for bar in at.sidebar.get("progress")] == ["0% · epoch 1 of 100"]


def test_what_cannot_be_fine_tuned_is_one_sentence(photos):
    for photo in list(photos.rglob("*.png"))[1:]:
        photo.unlink()
    at = opened()
    at.session_state["tune_open"] = True
    at.run()
    at.sidebar.button(key="tune_start").click().run()
    assert not at.exception
    (error,) = at.sidebar.error
    assert "cannot fill one batch" in error.value
