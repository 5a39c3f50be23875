"""What every command shares: choices as the library's, lines about the progress, names of failures."""

import sys

import pytest

from dino.annotation.exports import FORMATS
from dino.attention.files import LOOKS, NEWEST_LOOK, UNDER
from dino.attention.mass import COMBINATIONS, DEFAULT_MASS
from dino.cli import annotate, drawing, embed, project, run, segment, train, weights
from dino.features import projections
from dino.features.folder.preparation import CROP
from dino.masks import settings
from dino.masks.discovery.keys import KEYS
from dino.masks.refine import REFINEMENTS
from dino.media.draw import COLORMAPS
from dino.media.preprocessing import FITS
from dino.media.upsampling import UPSAMPLINGS
from dino.model.device import PRECISIONS
from dino.training.presets import PRESETS
from dino.weights.saving import DTYPES


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        (run.Fit, FITS),
        (run.Precision, PRECISIONS),
        (run.Keys, KEYS),
        (segment.Combine, COMBINATIONS),
        (segment.Method, settings.METHODS),
        (segment.Refine, REFINEMENTS),
        (embed.Fit, (CROP, *FITS)),
        (annotate.Format, FORMATS),
        (drawing.Upsample, UPSAMPLINGS),
        (drawing.Under, UNDER),
        (train.Preset, tuple(PRESETS)),
    ],
)
def test_choices_are_the_library_s(choices, names):
    assert tuple(choices) == names


def test_choices_of_the_command_line_alone_are_known_to_the_library():
    assert set(weights.Dtype) <= set(DTYPES)
    assert set(run.Colormap) == set(COLORMAPS)
    assert set(project.Method) <= set(projections.METHODS)
    assert drawing.NEWEST_LOOK == NEWEST_LOOK == len(LOOKS)
    assert run.DEFAULT_MASS == DEFAULT_MASS == settings.MaskSettings().mass


@pytest.fixture
def clock(monkeypatch):
    """The time that lines about the progress go by, in a list of one."""
    now = [0.0]
    monkeypatch.setattr("dino.cli.run.time.monotonic", lambda: now[0])
    return now


def test_progress_is_renewed_on_a_terminal_and_sparse_elsewhere(capsys, monkeypatch, clock):
    def shown() -> str:
        clock[0] = 0.0
        show = run.progress("features", "photos")
        for done in range(1, 101):
            clock[0] += 2.0
            show(done, 100)
        return capsys.readouterr().err

    lines = shown().splitlines()
    assert lines[0] == "features: 16 of 100 photos, 3 min left"  # after 32 s, 168 s are left
    assert len(lines) == 6
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    text = shown()
    assert text.count("\r") == 99
    assert text.rstrip().endswith("100 of 100 photos, 0 s left")


def test_a_line_that_ends_shows_the_first_tenths_and_the_last(capsys, clock):
    status = run.StatusLine(every_s=0.0, ends=True)
    for percent in range(1, 101):
        clock[0] += 1.0
        status.show(percent / 100, lambda percent=percent: f"{percent} %")
    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("1 %", "100 %", 11)


def test_only_the_first_of_several_processes_writes(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run.print_status("read")
    run.StatusLine(ends=True).show(1.0, lambda: "read")
    assert not capsys.readouterr().err


def test_ten_are_named_and_the_rest_counted():
    assert run.list_some(range(3)) == "0, 1, 2"
    assert run.list_some(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


COMMANDS_THAT_LOOK = (
    *("attend", "segment", "project", "embed", "joint", "match", "film", "annotate new"),
    *(
        "eval knn",
        "eval linear",
        "eval segmentation",
        "eval video",
        "eval retrieval",
        "eval copies",
    ),
)
COMMANDS_THAT_READ = ("weights convert", "weights average", "weights info")


@pytest.mark.parametrize("words", [*COMMANDS_THAT_LOOK, *COMMANDS_THAT_READ])
def test_every_command_that_opens_weights_has_the_same_options(command, words):
    code, out, _ = command(*words.split(), "--help")
    assert code == 0
    for option in ("--key", "--num-heads", "--arch", "--channels"):
        assert option in out
    for option in ("--weights", "--device", "--precision"):
        assert (option in out) == (words in COMMANDS_THAT_LOOK)


def test_the_options_become_one_object_and_the_rest_stays():
    given = []

    @run.with_options
    def command(name: str, loading: run.Loading = run.Loading(), size: int = 3) -> None:
        given.append((name, loading, size))

    command(
        name="a",
        size=4,
        weights="w",
        key="student",
        num_heads=2,
        arch=None,
        channels=run.Channels.first,
        device="cpu",
        precision=run.Precision.fp32,
    )
    ((name, loading, size),) = given
    assert (name, size) == ("a", 4)
    assert (loading.weights, loading.device) == ("w", "cpu")
    assert loading.options() == {
        "key": "student",
        "num_heads": 2,
        "arch": None,
        "channels": "first",
    }
    other = loading.of_other("twin.pth")
    assert other.options() == {"key": "student", "num_heads": None, "arch": None, "channels": None}
    assert (other.weights, other.device) == ("twin.pth", "cpu")


def test_heads_that_are_given_are_those_that_are_used(cli, tmp_path, small_weights):
    def heads(*words: object) -> str:
        code, out, _ = cli("weights", "info", small_weights, *words)
        assert code == 0
        return next(line.split()[1] for line in out.splitlines() if line.startswith("num_heads"))

    assert heads("--num-heads", 1) == "1"
    assert heads() != "1"
    code, _, err = cli("weights", "info", small_weights, "--num-heads", 7)
    assert code == 2
    assert "num_heads=7 does not divide" in err


def test_what_was_assumed_is_said_by_commands_and_by_info(cli, monkeypatch, tmp_path):
    from dataclasses import replace

    import numpy as np
    from PIL import Image

    from dino.weights import loading

    real = loading.load_model
    note = "Something was assumed."
    noted = lambda *source, **options: replace(real(*source, **options), notes=(note,))  # noqa: E731
    monkeypatch.setattr(loading, "load_model", noted)
    monkeypatch.setattr("dino.weights.conversion.load_model", noted)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "photo.png")
    code, _, err = cli("attend", tmp_path / "photo.png", "--size", 32, "--out", tmp_path / "out")
    assert code == 0
    assert f"note: {note}" in err.splitlines()
    assert err.count(note) == 1
    backbone = loading.load("random_vitt16", device="cpu")
    assert backbone.notes == (note,)
    assert backbone.description.endswith(f". {note}")
    code, out, _ = cli("weights", "info", "random_vitt16")
    assert code == 0
    assert out.splitlines()[-1].split(maxsplit=1) == ["notes", note]


def test_a_run_starts_from_weights_as_they_are_said_to_be(small_weights):
    from dino.errors import UserError
    from dino.training.build import build_backbone

    shape = run.Shape(num_heads=1)
    config = train.chosen_config(None, None, str(small_weights), None, 40, shape=shape)
    assert (config.init, config.init_heads) == (str(small_weights), 1)
    assert build_backbone(config, drop_path=0.0).blocks[0].attn.num_heads == 1
    plain = train.chosen_config(None, None, str(small_weights), None, 40)
    assert build_backbone(plain, drop_path=0.0).blocks[0].attn.num_heads != 1
    with pytest.raises(UserError, match="say how --init is read; give it too"):
        train.chosen_config(None, None, None, None, 40, shape=shape)
