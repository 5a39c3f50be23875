"""Small files that others read while they change: seen whole or not at all, and nothing left beside them.

For what may be lost when the machine stops; `dino.weights.saving.write_atomically` is for what may not.
"""

from pathlib import Path


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file through a temporary name.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    data = content.encode() if isinstance(content, str) else content
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, or nothing of it.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    data = f"{line}\n".encode()
    with path.open("ab", buffering=0) as file:
        before = file.seek(0, 2)
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(before)
            raise
