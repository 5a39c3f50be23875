"""The pages with networks of every kind: no page fails, and each says what is really drawn."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from helpers.app_cases import collect_downloads, command, open_page, start_afresh, text
from helpers.family_cases import family_model, wrapped_family

from app.cache import backbones
from app.views.learn.page import STEPS
from dino.attention import layers
from dino.media.images import decode
from dino.model.backbone import Backbone, wrap

SIZE = "224"
# Small networks of the kinds that differ in what the pages can say of them.
KINDS = (
    "registers",
    "distillation token",
    "no CLS",
    "registers without CLS",
    "parallel blocks",
    "DINOv3",
    "BEiT",
    "relative, MLP",
    "differential",
)
PAGES = (
    "attention",
    "masks",
    "features",
    "correspondence",
    "compare",
    "video",
    "annotate",
    "learn",
)
PANELS = ("heads", "layers", "ranking", "head off", "norms")


def network(case: str) -> Backbone:
    if case == "ConvNeXt":
        torch.manual_seed(0)
        model = timm.create_model("convnext_atto", num_classes=0, depths=(1, 1, 1, 1))
        mean = std = (0.5, 0.5, 0.5)
        found = wrap(model, name="", description="", mean=mean, std=std, device="cpu")
    else:
        found = wrapped_family(family_model(case, grid=(14, 14)))
    return replace(found, name=case, description="a small one", weights_sha256=case.ljust(64, "0"))


@pytest.fixture
def use(monkeypatch, tmp_path, small_weights):
    """`use("no CLS")` has every page look with that network, whatever weights are chosen."""
    start_afresh(monkeypatch, tmp_path, small_weights)

    def use(case: str) -> Backbone:
        found = network(case)
        monkeypatch.setattr(backbones, "_backbone", lambda *_: found)
        return found

    return use


@pytest.mark.parametrize("case", [*KINDS, "ConvNeXt"])
def test_every_page_opens_with_every_kind_of_network(use, case):
    use(case)
    for name in PAGES:
        at = open_page(name, size=SIZE)
        assert not at.error, (name, [one.value for one in at.error])
        assert not at.warning, (name, [one.value for one in at.warning])
        assert case in text(at) or name == "annotate"


@pytest.mark.parametrize("case", KINDS)
def test_every_panel_of_attention_opens_with_every_kind_of_network(use, case):
    backbone = use(case)
    for panel in PANELS:
        at = open_page("attention", size=SIZE, panel=panel, layer="0")
        said = [one.value for one in at.error]
        if case == "differential" and panel == "head off":
            assert "cannot be switched off one by one" in said[0]
            continue
        assert not said, panel
        rest = text(at).replace("has no CLS token", "").replace(case, "")
        assert ("CLS" in rest) == bool(backbone.num_class)


@pytest.mark.parametrize("case", ["no CLS", "ConvNeXt", "distillation token"])
@pytest.mark.parametrize("step", range(1, len(STEPS) + 1))
def test_every_step_of_learn_opens_with_networks_of_other_kinds(use, case, step):
    use(case)
    at = open_page("learn", step=str(step), size=SIZE, answers="true")
    assert not at.error


@pytest.mark.parametrize("case", ["no CLS", "BEiT"])
def test_the_last_block_s_first_view_is_what_the_default_query_sees(use, monkeypatch, case):
    backbone = use(case)
    files = collect_downloads(monkeypatch)
    at = open_page("attention", size=SIZE)
    (expander,) = (one for one in at.expander if one.label.startswith("Query"))
    words = {"no CLS": "the mean of all patches", "BEiT": "the CLS token"}[case]
    assert expander.label == f"Query: {words} · block 1 of 0 to 1 · probabilities"
    (name,) = (name for name in files if name.endswith("attention.npz"))
    drawn = files[name]()

    import io

    from app.state.selection import bundled_photos

    with np.load(io.BytesIO(drawn)) as arrays:
        weights = arrays["weights"]
    rgb = decode(bundled_photos()["macaw"].data)
    traced = layers.trace(backbone, rgb, size=int(SIZE))
    looked = layers.look(backbone, traced, layers=(-1,), queries=(backbone.default_query,))
    assert np.abs(weights - looked.heads).max() < 1e-6


def test_without_a_cls_token_the_pages_say_that_all_patches_are_drawn(use, monkeypatch):
    use("no CLS")
    at = open_page("attention", size=SIZE)
    said = text(at)
    assert "no CLS has no CLS token: the attention is the mean of all patches' rows" in said
    assert "Where the mean of all patches" not in said  # the mean of the heads is shown first
    at.session_state["head"] = "1"  # what a click on a small picture sets
    at.run()
    assert "Where the mean of all patches looks in this head." in text(at)
    assert "CLS included" not in text(at)
    assert "query" not in at.query_params
    files = collect_downloads(monkeypatch)
    at = open_page("attention", size=SIZE, layer="0")
    assert "--layers 0 --queries mean" in command(at)
    assert any(name.endswith("layers-mean.png") for name in files)


def test_asking_for_cls_where_there_is_none_is_one_sentence_and_the_mean(use):
    use("no CLS")
    at = open_page("attention", size=SIZE, query="cls")
    said = [one.value.replace("\\", "") for one in (*at.warning, *at.caption)]
    assert len([line for line in said if "no CLS token" in line]) == 1
    assert not at.warning
    assert not at.error
    assert at.session_state["query"] == "mean"


def test_the_tokens_before_the_patches_and_the_mean_are_offered_as_queries(use):
    use("distillation token")
    at = open_page("attention", size=SIZE)
    tokens = at.pills(key="query_asked_of")
    assert tokens.options == ["CLS token", "distillation token", "mean of all patches"]
    assert tokens.value == "cls"
    tokens.set_value("dist").run()
    assert at.query_params["query"] == "dist"
    assert "where the distillation token looks in block 1" in text(at)
    at.text_input(key="query").set_value("1:2").run()
    assert at.pills(key="query_asked_of").value is None


def test_norms_name_the_distillation_token_and_registers(use):
    use("distillation token")
    assert "distillation token " in text(open_page("attention", size=SIZE, panel="norms"))
    use("registers without CLS")
    said = text(open_page("attention", size=SIZE, panel="norms"))
    assert "; registers " in said
    assert "CLS 0" not in said


def test_a_head_of_a_network_without_cls_is_taught_on_the_patch_in_the_middle(use):
    backbone = use("no CLS")
    at = open_page("learn", step="2", size=SIZE, answers="true")
    said = text(at)
    assert "The map shows the shares of patch" in said
    assert "so the patch in the middle asks first" in said
    (table,) = at.dataframe
    keys = list(table.value["Key"])
    assert any("(itself)" in key for key in keys)
    assert not any("CLS" in key for key in keys)
    assert backbone.default_query == "mean"


def test_the_bias_of_a_relative_network_is_a_column_of_its_own(use):
    use("BEiT")
    at = open_page("learn", step="2", size=SIZE, answers="true")
    (table,) = at.dataframe
    before, after = (table.value[name] for name in ("q·k/√32", "q·k/√32 + b"))
    assert not np.allclose(before, after)
    shares = table.value["share, %"].to_numpy()
    ratios = np.log(shares[1:] / shares[0])
    assert np.abs(ratios - (after.to_numpy()[1:] - after.to_numpy()[0])).max() < 1e-6


def test_the_step_of_the_cls_token_says_what_a_network_without_one_does(use):
    use("no CLS")
    said = text(open_page("learn", step="4", size=SIZE))
    assert "no CLS has no CLS token. It describes a photo by all its patches together" in said
    use("ConvNeXt")
    assert "is a ConvNeXt" in text(open_page("learn", step="4", size=SIZE))


@pytest.mark.parametrize(
    ("page", "params", "says"),
    [
        ("attention", {}, "Features, Correspondence, Compare, Gallery and masks by pointing work"),
        ("masks", {}, "By pointing, above, works with it"),
        ("video", {}, "Follow a mask, above, works with it"),
        ("compare", {}, "a ConvNeXt, no attention to show"),
        ("learn", {"step": "3"}, "So it has no heads to show"),
    ],
)
def test_a_network_without_attention_is_named_with_what_works(use, monkeypatch, page, params, says):
    from app.components.canvas import component

    captions: list[str] = []
    real = component._component

    def kept(*args, **kwargs):
        captions.extend(panel["caption"] for panel in kwargs["data"]["panels"])
        return real(*args, **kwargs)

    monkeypatch.setattr(component, "_component", kept)
    use("ConvNeXt")
    at = open_page(page, size=SIZE, **params)
    said = text(at).replace("*", "") + "\n".join(captions)
    assert says in said
    if page != "compare":
        assert "ConvNeXt is a ConvNeXt, which has no self-attention of every patch" in said


def test_masks_by_pointing_and_features_work_without_attention(use):
    use("ConvNeXt")
    at = open_page("masks", size=SIZE, by="by pointing", points="1:1:+")
    assert not at.error
    assert "Object 1: 1 on it, 0 off it" in text(at)
    assert "patches; the axes shown hold" in text(open_page("features", size=SIZE))
