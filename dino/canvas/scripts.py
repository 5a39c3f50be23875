"""The picture in the browser: scripts, styles and markup of the canvas, read from this package.

They are joined without a build step, in the order of their names: `0_painting.js` is the brush, which the app's
mask editor builds on too. The app and notebooks have the same ones, and an entry each (`entry_*.js`).
"""

import base64
import json
from hashlib import sha256
from importlib.resources import files

import numpy as np

from dino.media.draw import COLORMAPS, colorize

_PARTS = files(__package__)


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _palettes() -> str:
    """Write the tables of all colour maps, 256 colours of three bytes each, as a script."""
    tables = {
        name: base64.b64encode(colorize(np.linspace(0, 1, 256)[None], name).tobytes()).decode()
        for name in COLORMAPS
    }
    return f"const PALETTES = {json.dumps(tables)};"


BRUSH = _part("0_painting.js")
# What keeps bytes that came, by the hash of their content, for components that bring them.
ARRIVALS = _part("0_arrivals.js")
MARKUP = _part("canvas.html")
STYLE = _part("canvas.css")
# All but the entries; these are plain functions and classes.
CANVAS = "\n".join(
    [
        _palettes(),
        *(
            part.read_text(encoding="utf-8")
            for part in sorted(_PARTS.iterdir(), key=lambda part: part.name)
            if part.name.endswith(".js") and part.name[0].isdigit()
        ),
    ]
)
BRINGING = f"{ARRIVALS}\n{_part('entry_arrivals.js')}"
NOTEBOOK = f"{CANVAS}\n{_part('entry_notebook.js')}"
_WAITING = _part("entry_waiting.js").replace("HASH", sha256(CANVAS.encode()).hexdigest())
# The app's: the canvas's own script, which is sent once, and what goes with every change.
SCRIPT = f"{CANVAS}\n{_WAITING}\n{_part('entry_script.js')}"
APP = f"{_WAITING}\n{_part('entry_app.js')}"
# The canvas has the colours of the page around it: those of Jupyter, VS Code or, elsewhere, of the system.
NOTEBOOK_STYLE = (
    ":host { display: block; color-scheme: light dark; --st-font: var(--jp-ui-font-family, system-ui, sans-serif);"
    " --st-text-color: var(--jp-ui-font-color1, var(--vscode-editor-foreground, CanvasText));"
    " --st-background-color: var(--jp-layout-color0, var(--vscode-editor-background, Canvas));"
    " --st-secondary-background-color: var(--jp-layout-color2, var(--vscode-input-background, ButtonFace));"
    " --st-border-color: rgba(128, 128, 128, 0.5); --st-primary-color: #0a7d74; }\n" + STYLE
)
