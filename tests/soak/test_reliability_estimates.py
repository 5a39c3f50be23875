"""Row 13: an absurd request is refused at once, with what it would take and what would fit."""

import re
import time
from dataclasses import replace

import pytest
from helpers.app_cases import open_page, start_afresh, text
from helpers.training_cases import TINY, write_photos
from timm.models.vision_transformer import VisionTransformer

from dino.attention import photo
from dino.errors import TooLargeError
from dino.model import limits
from dino.model.backbone import wrap

ABSURD = 8192
MOST_S = 0.1


@pytest.fixture(scope="module")
def backbone():
    """Patch 8, as wide and deep as DINO's ViT-S/8."""
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=384, depth=12, num_heads=6, num_classes=0
    )
    options = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "device": "cpu", "precision": "fp32"}
    return wrap(model, name="s8", description="", **options)


def refused_in(ask) -> tuple[str, float]:
    """The sentence, and the least seconds of three tries: the machine may be busy."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with pytest.raises(TooLargeError) as caught:
            ask()
        seconds.append(time.perf_counter() - start)
    return str(caught.value), min(seconds)


def fits(backbone, original, told: str) -> None:
    """The size that the sentence names is taken."""
    found = re.search(r"choose (\d+) px or less", told)
    assert found, told
    limits.check_fits(backbone, original, size=int(found[1]))


@pytest.mark.reliability
def test_an_absurd_size_and_an_absurd_batch_are_refused_at_once(backbone, figure):
    import numpy as np

    rgb = np.zeros((3000, 4000, 3), np.uint8)
    asks = {
        f"{ABSURD}² at patch 8": lambda: photo.attend(backbone, rgb[:3000, :3000], size=ABSURD),
        "both": lambda: photo.attention_and_features(backbone, rgb, size=ABSURD),
        "features": lambda: photo.features(backbone, rgb, size=10**9),
        "a batch of 10,000": lambda: limits.check_fits(
            backbone, (3000, 4000), size=1024, batch=10_000
        ),
    }
    slowest = 0.0
    for what, ask in asks.items():
        told, seconds = refused_in(ask)
        slowest = max(slowest, seconds)
        assert seconds <= MOST_S, (what, seconds)
        if "batch" not in what:
            fits(backbone, (3000, 4000), told)
            assert "patches" in told
        else:
            assert "10000 pictures" in told
            assert re.search(r"about [\d,]+ MB, and [\d,]+ MB are free", told)
    figure(
        13,
        f"{ABSURD}² at patch 8, a batch of 10,000, in the library",
        f"refused in {1000 * slowest:.1f} ms with the estimate and a size that does fit",
    )


@pytest.mark.reliability
@pytest.mark.parametrize(
    "words",
    [
        ("attend", "PHOTO"),
        ("attend", "PHOTO", "--layers", "all"),
        ("segment", "PHOTO", "--method", "tokencut"),
        ("project", "PHOTO"),
        ("match", "PHOTO", "PHOTO"),
        ("joint", "PHOTO", "PHOTO"),
        ("embed", "FOLDER"),
        ("eval", "knn", "--train", "FOLDER", "--val", "FOLDER"),
        ("eval", "linear", "--train", "FOLDER", "--val", "FOLDER"),
        ("eval", "retrieval", "--data", "FOLDER"),
    ],
    ids=" ".join,
)
def test_the_command_line_refuses_it(command, words, photo_file, small_weights, tmp_path):
    for place in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        path = tmp_path / "photos" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo_file.read_bytes())
    places = {"PHOTO": photo_file, "FOLDER": tmp_path / "photos"}
    words = [places.get(word, word) for word in words]
    code, _, err = command(*words, "--weights", small_weights, "--size", ABSURD)
    assert code in (1, 2), err
    told = r"size 8192 px at patch 8 means [\d,]+ patches, .*; choose \d+ px or less"
    assert re.search(told, err), err
    assert "Traceback" not in err


@pytest.mark.reliability
def test_an_absurd_training_is_foretold(command, tmp_path):
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", 8)
    run = tmp_path / "run"
    words = ("train", "--data", photos, "--out", run, "--preset", "vanilla", "--workers", 0)
    code, out, err = command(*words, "--set", "batch_size=10000")
    assert code == 2, (out, err)
    assert "10000" in err.replace(",", "")
    assert not run.exists()


@pytest.mark.soak
def test_a_training_that_cannot_fit_is_refused_with_what_would(command, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    photos = write_photos(tmp_path / "photos", 64)
    config = replace(TINY, batch_size=64, num_locals=8, local_size=96, global_size=224)
    (tmp_path / "config.json").write_text(config.to_json())
    words = ("train", "--data", photos, "--config", tmp_path / "config.json", "--workers", 0)
    words = (*words, "--out", tmp_path / "run")
    monkeypatch.setattr("dino.training.runs.preflight.free_bytes", lambda device: 2**30)
    code, out, err = command(*words)
    assert code == 2, (out, err)
    told = r"a batch of 64 photos takes about [\d.]+ GB of memory, and 1.0 GB are free; batch_size=(\d+) would"
    found = re.search(told, err)
    assert found, err
    assert not (tmp_path / "run").exists()
    # What is said to fit is not warned of any more.
    code, out, _ = command(*words, "--set", f"batch_size={found[1]}", "--dry-run")
    assert code == 0
    assert "of memory are needed" not in out
    assert "of memory are needed" in command(*words, "--dry-run")[1]


@pytest.mark.reliability
def test_the_app_refuses_it_and_stays_as_it_was(monkeypatch, tmp_path, small_weights, figure):
    """2,048 px, the most the app offers, are too many at patch 8."""
    start_afresh(monkeypatch, tmp_path, small_weights)
    at = open_page("attention")
    before = text(at)
    took = []
    for _ in range(3):
        asked = time.perf_counter()
        at.select_slider(key="size").set_value(2048).run()
        took.append(time.perf_counter() - asked)
        assert not at.exception
        assert re.search(r"Too large: size 2048 px at patch 8 .*choose \d+ px or less", text(at))
        at.select_slider(key="size").set_value(480).run()
        assert "Too large" not in text(at)
    assert text(at).count("\n") == before.count("\n")
    figure(
        13,
        "2,048 px at patch 8, through the app",
        f"refused in {1000 * min(took):.0f} ms, the whole page included; smaller sizes work afterwards",
    )
