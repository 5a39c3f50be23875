"""The notebook in docs/: every cell runs, from the folder it lies in, with what the project brings."""

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.ipynb")), ids=lambda path: path.name)
def test_every_cell_runs_and_shows_a_picture_of_the_photo(path, monkeypatch):
    from PIL import Image

    pytest.importorskip("anywidget")
    monkeypatch.chdir(DOCS)
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    names, shown = {}, []
    for cell in cells:
        source = "".join(cell["source"])
        *_, last = source.strip().splitlines()
        exec(compile(source, path.name, "exec"), names)
        if last.startswith("Image."):
            shown.append(eval(last, names))
    assert len(shown) == len(cells) - 2  # all but the imports and the canvas
    assert names["shown"].mask(0.6).shape == names["rgb"].shape[:2]
    for picture in shown:
        assert isinstance(picture, Image.Image)
        assert picture.width / picture.height == pytest.approx(4 / 3, rel=0.02)
        assert len(set(picture.convert("RGB").tobytes())) > 20  # a picture, not one colour
