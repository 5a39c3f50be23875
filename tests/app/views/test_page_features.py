"""Patches of the Features page chosen without a mouse."""

import pytest
from helpers.app_cases import open_page, start_afresh
from streamlit.testing.v1 import AppTest


@pytest.fixture
def at(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    # 168×224 px: 21 rows, 28 columns of 8 px
    return open_page("features", photo="cat", size="224")


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
    at.text_input(key="named_patches").set_value("").run()
    assert list(at.session_state["lit_patches"][1]) == []
    assert "patches chosen" not in captions(at)


@pytest.mark.parametrize("named", ["21:0", "0:28", "here", "1:2-3", "-1:2"])
def test_what_names_no_patch_is_one_sentence_and_changes_nothing(at, named):
    at.text_input(key="named_patches").set_value("0:0").run()
    at.text_input(key="named_patches").set_value(named).run()
    assert not at.exception
    assert "21 rows and 28 columns" in at.error[0].value
    assert "1 of 588 patches chosen." in captions(at)
