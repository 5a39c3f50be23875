"""The Attention page beyond its first view: every control, links, both networks of a checkpoint."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from helpers.app_cases import command, count_calls, open_page, sent_maps, start_afresh, text
from streamlit.testing.v1 import AppTest

import dino
from app.state.selection import bundled_photos
from dino.attention import layers, photo
from dino.attention.head_ablation import ablate_head
from dino.attention.heads import agreement, mean_distance, ranked
from dino.attention.mass import entropy
from dino.canvas.look import FORMER, Look
from dino.media.draw import encode_png
from dino.model.stream import token_norms

SIZE = 96  # 9×12 patches of 8 px on the macaw


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    monkeypatch.setattr("app.ui.sidebar.SIZES", (SIZE, 480))
    monkeypatch.setattr("app.state.selection.SIZES", (SIZE, 480))


@pytest.fixture
def forwards(monkeypatch) -> list[str]:
    return count_calls(monkeypatch, (photo, "attention_and_features"), (layers, "trace"))


def opened(**params: str) -> AppTest:
    return open_page("attention", **{"size": str(SIZE), **params})


@pytest.fixture
def kept(small_weights):
    """Return the network the app runs and the macaw's tokens in it."""
    backbone = dino.load(small_weights)
    rgb = dino.decode(bundled_photos()["macaw"].data)
    return backbone, layers.trace(backbone, rgb, size=SIZE)


def figures_of(at: AppTest) -> str:
    """Return the gallery's HTML."""
    return next(element.value for element in at.get("html") if "figcaption><b>" in element.value)


def test_the_first_view_makes_one_forward_and_keeps_no_tokens(forwards):
    at = opened()
    assert forwards == ["attention_and_features"]
    assert "--layers" not in command(at)
    (expander,) = (e for e in at.expander if e.label.startswith("Query"))
    assert expander.label == "Query: the CLS token · block 1 of 0 to 1 · probabilities"


def test_query_block_and_method_need_one_more_forward_for_all(forwards):
    at = opened()
    at.session_state["query"] = "4:7"  # what a click on a patch sets
    at.run()
    at.select_slider(key="layer").set_value("0").run()
    at.segmented_control(key="method").set_value("logits").run()
    at.text_input(key="query").set_value("cls").run()
    at.segmented_control(key="method").set_value("rollout").run()
    at.session_state["query"] = "0:0"
    at.run()
    for panel in ("layers", "ranking", "head off", "norms", "heads"):
        at.segmented_control(key="panel").set_value(panel).run()
        assert not at.exception, panel
    assert forwards == ["attention_and_features", "trace"]
    linked = {key: at.query_params[key] for key in ("query", "layer", "method")}
    assert linked == {"query": "0:0", "layer": "0", "method": "rollout"}


def test_a_link_restores_block_query_and_head(kept):
    at = opened(query="4:7", layer="0", head="2")
    backbone, trace = kept
    looked = layers.look(backbone, trace, layers=(0,), queries=((4, 7),))
    bits = entropy(torch.from_numpy(looked.weights[0, 0])).tolist()
    assert "Where patch 4:7 looks in this head of block 0." in text(at)
    told, values = sent_maps(at)
    assert told["look"]["head"] == "2"
    assert told["names"] == ["0", "1", "2", "mean", "max"]
    for note, value in zip(told["notes"], bits, strict=False):
        assert note.endswith(f"entropy {value:.1f} bits")
    heads = looked.weights[0, 0]
    expected = np.concatenate([heads, heads.mean(0)[None], heads.max(0)[None]])
    np.testing.assert_array_equal(values, expected.reshape(5, -1))
    assert (told["factor"], told["unit"], told["shares"]) == (100.0, "%", True)
    assert "--layers 0 --queries 4:7" in command(at)


def test_a_query_can_be_typed():
    at = opened()
    at.text_input(key="query").set_value(" 2:3").run()
    assert "where patch 2:3 looks" in text(at)
    assert at.query_params["query"] == "2:3"
    at.text_input(key="query").set_value("cls").run()
    assert "query" not in at.query_params


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("40:1", "query patch 40:1 is outside the grid"),
        ("register:0", "is not available; small has"),
        ("[x](http://y)", "expected cls, mean, register:N"),
    ],
)
def test_a_query_that_does_not_exist_is_one_sentence_and_cls(query, says):
    at = opened(query=query)
    (warning,) = (element.value for element in at.warning)
    assert says in warning.replace("\\", "")
    assert "](" not in warning
    assert at.session_state["query"] == "cls"


def test_a_block_or_head_that_does_not_exist_is_the_default():
    at = opened(layer="7", head="11", method="guess", panel="gone")
    assert at.segmented_control(key="panel").value == "heads"
    assert at.select_slider(key="layer").value == "1"
    assert sent_maps(at)[0]["look"]["head"] == "mean"
    assert at.segmented_control(key="method").value == "probabilities"


def test_logits_are_those_of_the_library(kept):
    at = opened(method="logits", head="1")
    backbone, trace = kept
    looked = layers.look(backbone, trace, layers=(1,), queries=("cls",))
    told, values = sent_maps(at)
    np.testing.assert_array_equal(values[1], looked.logits[0, 0, 1].ravel())
    assert (told["unit"], told["shares"]) == ("", False)  # no share of what may be negative
    assert "q·k/√d before the softmax" in text(at)
    assert "--logits" in command(at)


def test_a_rollout_has_one_map_and_no_heads_to_choose(kept):
    at = opened(method="rollout")
    backbone, trace = kept
    looked = layers.look(backbone, trace, layers=(1,), queries=("cls",), rolled=True)
    told, values = sent_maps(at)
    assert told["names"] == ["rollout"]
    np.testing.assert_array_equal(values, looked.rollout[0, 0].reshape(1, -1))
    assert "--layers 1 --queries cls --rollout" in command(at)
    at.segmented_control(key="panel").set_value("ranking").run()
    assert "A rollout has no heads to rank" in text(at)


def test_the_grid_shows_every_block_and_its_command_asks_for_all(kept):
    at = opened(panel="layers", query="4:7")
    assert at.segmented_control(key="panel").options[1] == "blocks"
    assert "Patch 4:7; rows are blocks, the last on top, columns heads." in text(at)
    assert "--layers all --queries 4:7" in command(at)


def test_heads_are_ranked_as_the_library_ranks_them(kept):
    backbone, trace = kept
    looked = layers.look(backbone, trace, layers=(0,), queries=("cls",)).weights[0, 0]
    at = opened(panel="ranking", layer="0")
    bits = entropy(torch.from_numpy(looked)).tolist()
    far = mean_distance(backbone, trace, layer=0)[0].tolist()
    for by, order in (
        ("entropy", ranked(bits, descending=False)),
        ("distance", ranked(far, descending=True)),
    ):
        at.segmented_control(key="rank").set_value(by).run()
        said = figures_of(at)
        places = [said.index(f"{place}. Head {head}") for place, head in enumerate(order, 1)]
        assert places == sorted(places)
    assert f"{bits[1]:.1f} bits · {far[1]:.0f} px" in said


def test_agreement_is_with_the_mass_mask_or_with_an_upload(kept):
    backbone, trace = kept
    rgb = dino.decode(bundled_photos()["macaw"].data)
    looked = layers.look(backbone, trace, layers=(1,), queries=("cls",)).weights[0, 0]
    at = opened(panel="ranking", rank="Jaccard", mass="80")
    mask = dino.mass_mask(torch.from_numpy(looked.mean(0)), 0.8).numpy()
    found = agreement(looked, trace.geometry.to_photo(mask), trace.geometry, mass=0.8)
    for score, inside in zip(found.jaccard, found.inside, strict=True):
        assert f"J {score:.2f} · {inside:.0%} inside" in text(at)

    at.segmented_control(key="reference").set_value("uploaded mask").run()
    assert "J 0" not in text(at)
    half = np.zeros(rgb.shape[:2], np.uint8)
    half[: len(half) // 2] = 255
    at.file_uploader(key=upload_key()).upload("half.png", encode_png(half), "image/png").run()
    found = agreement(looked, half > 0, trace.geometry, mass=0.8)
    for score, inside in zip(found.jaccard, found.inside, strict=True):
        assert f"J {score:.2f} · {inside:.0%} inside" in text(at)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.full((50, 400), 255, np.uint8), "expected the photo's size or its aspect"),
        (None, "marks nothing"),
        (b"no picture", "mask.png"),
    ],
)
def test_a_mask_that_does_not_fit_is_one_sentence(data, says):
    at = opened(panel="ranking", rank="share inside", reference="uploaded mask")
    if data is None:
        data = np.zeros(dino.decode(bundled_photos()["macaw"].data).shape[:2], np.uint8)
    content = data if isinstance(data, bytes) else encode_png(data)
    at.file_uploader(key=upload_key()).upload("mask.png", content, "image/png").run()
    assert not at.exception
    assert says in text(at)


def upload_key() -> str:
    """Return the key of the uploader of a reference mask, which is the photo's own and the Masks page's
    too."""
    return f"reference_{bundled_photos()['macaw'].id[:16]}"


def test_a_head_switched_off_tells_what_the_library_computes(kept):
    backbone, trace = kept
    at = opened(panel="head off", layer="0", off="2")
    found = ablate_head(backbone, trace, layer=0, head=2)
    change = found.patch_change[0]
    assert [metric.value for metric in at.metric] == [
        f"{found.cls_cosine[0]:.3f}",
        f"{change.mean():.3f}",
        f"{change.max():.3f}",
    ]
    most = found.attention_change[0].mean(0).abs().max().item()
    assert f"up to {100 * most:.2g} percentage points" in text(at)
    at.select_slider(key="layer").set_value("1").run()
    assert "decided before its heads write" in text(at)


def test_norms_tell_cls_and_the_largest_patch(kept):
    backbone, trace = kept
    at = opened(panel="norms", layer="0")
    norms = token_norms(backbone, trace, layer=0)
    said = text(at)
    assert f"CLS {norms.prefix[0, 0]:.1f}" in said
    assert f"largest {norms.patches.max():.1f}" in said
    assert "after block 0, before the final norm" in said


def test_the_photo_stands_beside_or_behind_a_slider_as_links_say():
    assert sent_maps(opened(side="true"))[0]["look"]["beside"] == "side"
    assert sent_maps(opened(compare="true"))[0]["look"]["beside"] == "wipe"


def test_a_link_without_a_version_draws_what_it_drew():
    told = sent_maps(opened(smooth="true", scale="shared", opacity="0.4"))[0]["look"]
    assert told == asdict(Look(scale="shared", smooth="bilinear", opacity=0.4, greys=False))
    assert sent_maps(opened())[0]["look"] == asdict(FORMER)
    at = opened(smooth="true")
    assert "v" not in at.query_params
    assert at.query_params["smooth"] == "true"


def test_a_link_of_version_2_has_what_differs_from_the_new_look():
    at = opened(v="2", smooth="sharp", outline="60", fill="true", greys="false", head="1")
    expected = Look("1", smooth="sharp", outline=60, fill=True, greys=False)
    assert sent_maps(at)[0]["look"] == asdict(expected)
    assert sent_maps(opened(v="2"))[0]["look"] == asdict(Look())
    assert at.query_params["smooth"] == "sharp"
    assert at.query_params["v"] == "2"


def test_what_a_link_asks_for_and_nothing_offers_is_the_default():
    at = opened(v="2", smooth="no", scale="each its own", opacity="7", outline="400", colours="x")
    assert sent_maps(at)[0]["look"] == asdict(Look())


def test_random_weights_mark_the_canvas():
    assert "random weights" in sent_maps(opened(weights="random_vitt16"))[0]["mark"]
    assert sent_maps(opened())[0]["mark"] == ""


def test_one_network_offers_no_choice():
    assert "network" not in [control.key for control in opened().segmented_control]


def checkpoint(path, *, both: bool = True):
    """Save a checkpoint as a training run does, of a small ViT and its teacher; return it and that
    teacher."""
    from timm.models.vision_transformer import VisionTransformer

    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2}
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(VisionTransformer(**shape, num_classes=0).state_dict())
    student, teacher = ({f"backbone.{k}": v for k, v in state.items()} for state in states)
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = {"student": student, **({"teacher": teacher} if both else {})}
    torch.save({**saved, "step": 3}, path)
    return path, states[1]


def test_student_and_teacher_of_a_run(monkeypatch, tmp_path):
    from dino.weights.saving import save

    run = tmp_path / "runs" / "pets"
    path, state = checkpoint(run / "checkpoints" / "step-00000003.pt")
    (run / "weights").mkdir()
    save(state, run / "weights" / "teacher.safetensors", dtype="fp32", metadata={"name": "pets"})
    monkeypatch.setenv("DINO_RUNS", str(run.parent))
    at = opened(weights="run:pets")
    teacher = dino.load(path, key="teacher").weights_sha256[:16]
    student = dino.load(path, key="student").weights_sha256[:16]
    assert teacher != student
    assert teacher in text(at)
    assert "--key" not in command(at)
    at.segmented_control(key="network").set_value("student").run()
    assert not at.exception
    assert student in text(at)
    assert f"--weights {path}" in command(at)
    assert "--key student" in command(at)
    at = opened(weights="run:pets", network="student", panel="layers")
    assert student in text(at)


def test_student_and_teacher_of_an_upload(tmp_path):
    at = opened()
    both, _ = checkpoint(tmp_path / "both.pt")
    at.file_uploader(key="weights_file").upload("both.pt", both.read_bytes()).run()
    assert not at.exception
    at.segmented_control(key="network").set_value("student").run()
    assert dino.load(both, key="student").weights_sha256[:16] in text(at)
    assert "--weights both.pt" in command(at)
    assert "--key student" in command(at)


def test_only_files_with_two_networks_hold_two(tmp_path, small_weights):
    from dino.weights.opening import holds_student_and_teacher

    assert holds_student_and_teacher(checkpoint(tmp_path / "both.pt")[0])
    one, _ = checkpoint(tmp_path / "one.pt", both=False)
    assert not holds_student_and_teacher(one)
    assert not holds_student_and_teacher(small_weights)
    (tmp_path / "damaged.pt").write_bytes(b"damaged")
    assert not holds_student_and_teacher(tmp_path / "damaged.pt")


def test_random_weights_mark_every_picture_of_every_panel(monkeypatch):
    from dino.media import draw

    marked: list[int] = []
    real = draw.mark_random
    monkeypatch.setattr(draw, "mark_random", lambda p: (marked.append(1), real(p))[1])
    at = opened(weights="random_vitt16", layer="3")
    for panel, pictures in (("layers", 1), ("head off", 2), ("norms", 1)):
        marked.clear()
        at.segmented_control(key="panel").set_value(panel).run()
        assert not at.exception
        assert len(marked) == pictures, panel


def test_a_large_photo_is_previewed_once(monkeypatch):
    monkeypatch.setattr("app.views.attention.preview._MANY_PATCHES", 200)
    monkeypatch.setattr("app.views.attention.preview._PREVIEW_PX", SIZE)
    sizes: list[int] = []
    real = photo.attention_and_features

    def counted(backbone, rgb, *, size, fit="floor"):
        sizes.append(size)
        return real(backbone, rgb, size=size, fit=fit)

    monkeypatch.setattr(photo, "attention_and_features", counted)
    at = open_page("attention", size="480")
    assert sizes == [SIZE, 480]  # the small one first
    assert "A first look" not in text(at)  # gone when the other is there
    at.session_state["head"] = "1"  # what a click on a small picture sets
    at.run()
    at.sidebar.selectbox(key="photo").set_value("cat").run()
    assert sizes == [SIZE, 480, SIZE, 480]
    at.sidebar.selectbox(key="photo").set_value("macaw").run()
    assert sizes == [SIZE, 480, SIZE, 480]
