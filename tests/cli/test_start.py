"""What commands load before they do their work: libraries nobody asked for would be waited for each time."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Some are in a plain install and others come beside; each would add 0.1 to 1 s.
_NOT_NEEDED = (
    "sklearn",
    "pandas",
    "plotly",
    "matplotlib",
    "onnx",
    "av",
    "streamlit",
    "umap",
    "faiss",
)
_COMMAND = """
import gc, sys
from dino.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print([name for name in {names} if name in sys.modules])
print([gc.isenabled(), gc.get_freeze_count(), len(gc.get_objects())])
"""


def loaded_by(*words: object) -> tuple[list[str], list[int]]:
    """Run a command in a fresh process: the libraries of the list it loaded, and what the collector holds."""
    script = _COMMAND.format(names=_NOT_NEEDED)
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names, objects = done.stdout.splitlines()[-2:]
    return ast.literal_eval(names), ast.literal_eval(objects)


@pytest.mark.parametrize(
    ("command", "allowed"), [("attend", []), ("segment", []), ("project", None)]
)
def test_a_command_loads_what_it_needs_and_sets_it_apart(
    command, allowed, photo_file, small_weights, tmp_path
):
    names, (is_at_work, apart, looked_at) = loaded_by(
        command, photo_file, "--weights", small_weights, "--size", 64, "--out", tmp_path / "out",
        "--device", "cpu", "--precision", "fp32",
    )  # fmt: skip
    assert is_at_work
    assert apart > 200_000
    # `project` loads scikit-learn and Plotly for its last step, when photos are being worked on.
    if allowed is not None:
        assert names == allowed
        assert looked_at < 20_000
