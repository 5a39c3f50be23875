"""Patches of the Features page chosen without a mouse."""

import pytest
from streamlit.testing.v1 import AppTest


def page() -> None:
    """The script AppTest runs: the sidebar and the page, as app/main.py does."""
    from app import sidebar
    from app.views import features, start

    start.guarded(features.show, sidebar.choose())


@pytest.fixture
def at(monkeypatch, tmp_path, small_weights):
    monkeypatch.setenv("DINO_WEIGHTS", str(small_weights))
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    opened = AppTest.from_function(page, default_timeout=60)
    opened.query_params["photo"] = "cat"  # 168×224 px: 21 rows, 28 columns of 8 px
    opened.query_params["size"] = "224"
    return opened.run()


def captions(at: AppTest) -> str:
    return "\n".join(caption.value for caption in at.caption)


@pytest.mark.parametrize(
    ("named", "lit"),
    [
        ("20:27", [20 * 28 + 27]),
        ("2:3-3:4", [2 * 28 + 3, 2 * 28 + 4, 3 * 28 + 3, 3 * 28 + 4]),
        ("3:4 - 2:3", [2 * 28 + 3, 2 * 28 + 4, 3 * 28 + 3, 3 * 28 + 4]),
    ],
)
def test_patches_are_named_by_row_and_column(at, named, lit):
    at.text_input(key="named_patches").set_value(named).run()
    assert not at.exception
    assert not at.error
    assert list(at.session_state["lit_patches"][1]) == lit
    assert f"{len(lit)} of 588 patches chosen." in captions(at)
    next(b for b in at.button if b.label == "Choose none").click().run()
    assert "lit_patches" not in at.session_state
    assert at.text_input(key="named_patches").value == ""


@pytest.mark.parametrize("named", ["21:0", "0:28", "here", "1:2-3", "-1:2"])
def test_what_names_no_patch_is_one_sentence_and_changes_nothing(at, named):
    at.text_input(key="named_patches").set_value("0:0").run()
    at.text_input(key="named_patches").set_value(named).run()
    assert not at.exception
    assert "21 rows and 28 columns" in at.error[0].value
    assert "1 of 588 patches chosen." in captions(at)
