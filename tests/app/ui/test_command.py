"""Commands that pages offer: settings become options, and what goes without saying is left out."""

from app.ui.command import flags, line


def test_settings_become_options_and_defaults_are_left_out():
    assert flags(min_area=0.010, heads=(0, 2), largest=True, fill_holes=False, refine=None) == [
        "--min-area", "0.01", "--heads", "0,2", "--largest",
    ]  # fmt: skip
    assert flags(size=480) == []
    assert flags(size=224, keep=30) == ["--size", "224", "--keep", "30"]


def test_names_with_blanks_are_quoted():
    assert line("eval report", "my results", out="report") == (
        "python -m dino eval report 'my results' --out report"
    )
