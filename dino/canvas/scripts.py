"""The picture in the browser: scripts, styles and markup of the canvas, read from this package.

They are joined without a build step. `0_painting.js` is the brush, which the app's mask editor builds on too.
"""

from importlib.resources import files

_PARTS = files(__package__)
BRUSH = (_PARTS / "0_painting.js").read_text(encoding="utf-8")
MARKUP = (_PARTS / "canvas.html").read_text(encoding="utf-8")
STYLE = (_PARTS / "canvas.css").read_text(encoding="utf-8")
# In the order of the files' names, each of which builds on those before.
SCRIPT = "\n".join(
    part.read_text(encoding="utf-8")
    for part in sorted(_PARTS.iterdir(), key=lambda part: part.name)
    if part.name.endswith(".js")
)
