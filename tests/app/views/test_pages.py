"""The pages, driven without a browser: every control, uploads, links, and what goes wrong."""

import numpy as np
import pytest
from helpers.app_cases import TIMEOUT_S, count_calls, offered_heads, open_page, start_afresh, text
from streamlit.testing.v1 import AppTest

from app.state.selection import MAX_OWN_PHOTOS, add_photo, all_photos, bundled_photos, own_photos
from dino.attention import photo as attention_photo
from dino.canvas.look import Look
from dino.errors import ImageError
from dino.system import files
from dino.weights import ZOO

PAGES = ("attention", "masks", "features")


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)


@pytest.fixture
def forwards(monkeypatch) -> list[str]:
    return count_calls(monkeypatch, (attention_photo, "attention_and_features"))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_names_photo_weights_and_digest(name, small_weights):
    import dino

    at = open_page(name)
    said = text(at)
    assert "macaw.jpg" in said
    assert "a small network for tests" in said
    assert dino.load(small_weights).weights_sha256[:16] in said
    assert "patches of 8 px" in said


def test_the_main_script_opens_attention():
    at = AppTest.from_file("../../../app/main.py", default_timeout=TIMEOUT_S).run()
    assert not at.exception
    assert offered_heads(at)[-2:] == ["mean", "max"]


def test_attention_controls_never_run_the_backbone(forwards):
    at = open_page("attention", size="224")
    assert forwards == ["attention_and_features"]
    at.session_state["head"] = "1"  # what a click on a small picture sets
    at.run()
    at.session_state["map_look"] = Look(
        colours="viridis", opacity=0.3, scale="shared", beside="side", outline=56
    )
    at.run()
    assert not at.exception
    assert forwards == ["attention_and_features"]
    said = text(at)
    assert "Head 1, one scale for all pictures" in said
    (command,) = (code.value for code in at.code)
    assert "--mass 0.56" in command
    assert "--look 2 --colormap viridis --opacity 0.3 --scale full --shared-scale" in command
    assert "python -m dino attend app/photos/macaw.jpg" in command


def test_masks_controls_never_run_the_backbone(forwards):
    at = open_page("masks")
    before = text(at)
    at.slider(key="mass").set_value(90).run()
    assert text(at) != before
    assert "at 90%" in text(at)
    at.pills(key="heads").set_value(["1"]).run()
    assert "Head 1 at 90%" in text(at)
    at.segmented_control(key="combine").set_value("union").run()
    for view in ("outline", "cut-out"):
        at.segmented_control(key="view").set_value(view).run()
    at.pills(key="heads").set_value([]).run()
    assert "Choose at least one head." in text(at)
    assert not at.exception
    assert forwards == ["attention_and_features"]


def test_the_mask_named_is_the_one_the_library_makes(small_weights):
    import dino

    at = open_page("masks", mass="50", heads="2")
    backbone = dino.load(small_weights)
    photo = bundled_photos()["macaw"]
    attention = attention_photo.attend(backbone, dino.decode(photo.data), size=480)
    import torch

    mask = dino.mass_mask(torch.from_numpy(attention.heads[2]), 0.5)
    assert f"{int(mask.sum())} of {mask.numel()} patches" in text(at)


def test_features_projections_and_colours(forwards):
    at = open_page("features", size="224")
    at.segmented_control(key="dims").set_value(3).run()
    assert "the axes shown hold" in text(at)
    at.segmented_control(key="points").set_value("components").run()
    at.segmented_control(key="projection").set_value("t-SNE").run()
    assert "perplexity 30, seed 0" in text(at)
    assert not at.exception
    assert forwards == ["attention_and_features"]
    (command,) = (code.value for code in at.code)
    assert "--size 224 --method tsne --dims 3 --perplexity 30" in command


def test_a_link_restores_the_view():
    at = open_page("masks", photo="cat", size="224", mass="75", view="outline", combine="union")
    said = text(at)
    assert "cat.jpg" in said
    assert "224×168 px" in said
    assert "Union of heads 0, 1, 2 at 75%" in said


def test_a_new_size_or_photo_runs_the_backbone_once_and_the_old_ones_not_again(forwards):
    at = open_page("attention", size="320")
    at.sidebar.select_slider(key="size").set_value(224).run()
    at.sidebar.selectbox(key="photo").set_value("cat").run()
    assert forwards == ["attention_and_features"] * 3
    at.sidebar.selectbox(key="photo").set_value("macaw").run()
    assert forwards == ["attention_and_features"] * 3


@pytest.mark.parametrize("name", PAGES)
def test_an_upload_is_shown(name, photo_file):
    at = open_page(name)
    at.file_uploader(key="upload").upload("disc.png", photo_file.read_bytes(), "image/png").run()
    assert not at.exception
    assert "disc.png" in text(at)
    assert "160×120 px" in text(at)
    assert at.sidebar.selectbox(key="photo").value.startswith("disc-")


def test_a_bad_upload_is_one_sentence_and_changes_nothing():
    at = open_page("attention")
    at.file_uploader(key="upload").upload("notes.png", b"no picture", "image/png").run()
    assert not at.exception
    said = text(at)
    assert "notes.png: got" in said
    assert "The photo shown is unchanged." in said
    assert at.sidebar.selectbox(key="photo").value == "macaw"


def test_a_link_to_someone_elses_photo_says_so():
    at = open_page("attention", photo="holiday-1234abcd")
    assert "only the session that added it can see" in text(at)
    assert at.sidebar.selectbox(key="photo").value == "macaw"


def test_too_large_is_refused_with_numbers_and_the_page_stays():
    at = open_page("attention", size="2048", photo="astronaut")
    said = text(at)
    assert "Too large: size 2048 px at patch 8 means 65,536 patches" in said
    assert "choose 1024 px or less" in said
    at.sidebar.select_slider(key="size").set_value(224).run()
    assert "Too large" not in text(at)


def test_no_weights_offers_three_ways(monkeypatch):
    monkeypatch.setenv("DINO_WEIGHTS", "none")
    at = open_page("attention")
    assert "No weights yet" in text(at)
    labels = [button.label for button in at.main.button]
    assert labels == ["Fetch the default weights", "Look around with random weights"]
    assert at.main.file_uploader
    at.main.button[1].click().run()
    assert not at.exception
    assert "random weights: nothing was learned" in text(at)


def test_weights_can_be_opened_from_a_file(monkeypatch, small_weights):
    monkeypatch.setenv("DINO_WEIGHTS", "none")
    at = open_page("masks")
    uploader = at.file_uploader(key="weights_file")
    uploader.upload("mine.safetensors", small_weights.read_bytes()).run()
    assert not at.exception
    assert at.sidebar.selectbox(key="weights").value.startswith("mine-")
    assert "a small network for tests" in text(at)


def test_unsafe_or_broken_weights_are_refused_in_one_sentence(tmp_path):
    import os
    import pickle

    canary = tmp_path / "canary"

    class Bad:
        def __reduce__(self):
            return os.system, (f"touch {canary}",)

    at = open_page("attention")
    for data in (pickle.dumps({"model": Bad()}), b"", b"not weights"):
        at.file_uploader(key="weights_file").upload("bad.pth", data).run()
        assert not at.exception
        assert "bad.pth: " in text(at)
        assert at.sidebar.selectbox(key="weights").value == "small"
    assert not canary.exists()


def test_the_session_keeps_a_few_photos_newest_first(photo_file):
    session: dict = {}
    data = photo_file.read_bytes()
    for number in range(MAX_OWN_PHOTOS + 3):
        add_photo(session, f"{number}.png", data + bytes([number]))
    kept = list(own_photos(session).values())
    assert len(kept) == MAX_OWN_PHOTOS
    assert kept[0].file_name == f"{MAX_OWN_PHOTOS + 2}.png"
    assert list(all_photos(session))[-1] == list(bundled_photos())[-1]
    with pytest.raises(ImageError, match=r"26\.0 MB; at most 25 MB"):
        add_photo(session, "big.png", bytes(26 * 2**20))
    assert len(own_photos(session)) == MAX_OWN_PHOTOS


def test_one_pixel_makes_another_photo():
    rgb = np.zeros((8, 8, 3), np.uint8)
    from dino.media.draw import encode_png

    first = encode_png(rgb)
    rgb[3, 4, 1] = 1
    assert files.content_id(first) != files.content_id(encode_png(rgb))


def test_text_from_a_link_is_never_markup():
    at = open_page(
        "attention", photo="![x](https://example.invalid/x.png) [y](https://example.invalid)"
    )
    (error,) = (element.value for element in at.error)
    assert "![" not in error
    assert "](" not in error
    assert "https:" not in error


def test_file_names_and_descriptions_are_never_html(photo_file):
    at = open_page("attention")
    at.file_uploader(key="upload").upload(
        "<img src=x onerror=1>.png", photo_file.read_bytes()
    ).run()
    assert "&lt;img src=x onerror=1&gt;.png" in text(at)
    assert "<img src=x" not in text(at)


def test_a_link_to_weights_that_are_not_here_says_so():
    at = open_page("attention", weights="dino_vitb8")
    said = text(at)
    assert (
        "dino_vitb8 is not on this machine. It would come from dl.fbaipublicfiles.com, about 343 MB"
        in said
    )
    assert "licence: Apache-2.0" in said
    assert "small: a small network for tests" in said.replace("<b>", "").replace("</b>", "")
    at.sidebar.selectbox(key="weights").set_value("random_vitt16").run()
    assert "not on this machine" not in text(at)


def test_the_same_tensors_with_other_heads_are_other_weights(monkeypatch, tmp_path, small_weights):
    from safetensors.torch import load_file

    from dino.weights.saving import save

    other = tmp_path / "other.safetensors"
    metadata = {"name": "small", "description": "six heads", "num_heads": 6}
    save(load_file(small_weights), other, dtype="fp32", metadata=metadata)
    open_page("attention")
    monkeypatch.setenv("DINO_WEIGHTS", str(other))
    at = open_page("attention")
    assert not at.exception
    assert offered_heads(at) == [*"012345", "mean", "max"]


def test_the_page_s_mark_of_random_weights_is_on_every_picture(monkeypatch):
    from dino.media import draw

    marked: list[tuple[int, ...]] = []
    real = draw.mark_random
    monkeypatch.setattr(draw, "mark_random", lambda p: (marked.append(p.shape), real(p))[1])
    for name, pictures in (("masks", 1 + 3), ("features", 1)):
        marked.clear()
        open_page(name, weights="random_vitt16", size="224")
        assert len(marked) == pictures, name


def test_a_damaged_bundled_file_does_not_take_the_app_down(monkeypatch, tmp_path):
    monkeypatch.delenv("DINO_WEIGHTS")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "ours.safetensors").write_bytes(b"damaged")
    at = open_page("attention")
    assert "ours.safetensors" in text(at)
    assert at.sidebar.selectbox(key="photo").value == "macaw"


def test_one_fetch_runs_however_many_ask(monkeypatch, tmp_path):
    import sys
    import threading
    import time

    from app.state import weights_fetch as fetching

    script = "import time; print('fetching'); time.sleep(1)"
    started = []
    real = fetching.subprocess.Popen

    def popen(command, **options):
        started.append(command)
        return real([sys.executable, "-c", script], **options)

    monkeypatch.setattr(fetching.subprocess, "Popen", popen)
    fetch = fetching.WeightsFetch(tmp_path / "log")
    threads = [threading.Thread(target=fetch.start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 1
    assert started[0][-3:] == ["weights", "fetch", "default"]
    assert fetch.running
    deadline = time.monotonic() + 20
    while fetch.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert fetch.succeeded
    assert fetch.lines() == ["fetching"]


def test_a_fetch_that_brought_nothing_leaves_the_bundled_weights(
    tmp_path, monkeypatch, small_weights
):
    from app.state.weights_menu import fetched_weights

    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("WEIGHTS", "none")
    assert fetched_weights() is None
    (tmp_path / "ours.safetensors").write_bytes(small_weights.read_bytes())
    assert fetched_weights() == "ours"
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / ZOO["vits14_saliency"].filename).write_bytes(b"")
    assert fetched_weights() == "vits14_saliency"
