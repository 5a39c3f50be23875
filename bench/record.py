"""`speed.json`: what was measured, row by row, the newest of each."""

import json
from pathlib import Path
from typing import Any

from dino.system.files import write_atomically


class Record:
    """What was measured: `content` is {"rows": {number: …}, "sections": {name: …}}, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, dict[str, Any]] = {"rows": {}, "sections": {}}
        if path.exists():
            self.content.update(json.loads(path.read_text(encoding="utf-8")))

    def put(self, name: str, found: dict[str, Any]) -> None:
        """Keep what a row or section gave, in place of what it gave before."""
        kind = "rows" if name.isdigit() else "sections"
        self.content[kind][name] = found
        order = sorted(self.content["rows"].items(), key=lambda item: int(item[0]))
        self.content["rows"] = dict(order)
        text = json.dumps(self.content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(text.encode(), self.path)
