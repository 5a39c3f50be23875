"""Which networks a weights file holds: a bare backbone, or a student and its teacher."""

from __future__ import annotations

from pathlib import Path

from dino.errors import WeightsError
from dino.weights.files import read
from dino.weights.locate import locate


def holds_student_and_teacher(path: str | Path) -> bool:
    """Whether `load(path, key=)` gives two different networks for "student" and "teacher".

    A file that cannot be read holds neither; what is wrong with it is `load`'s to say.
    """
    try:
        tree = read(path).tree
        student, _ = locate(tree, key="student")
        teacher, _ = locate(tree, key="teacher")
    except WeightsError:
        return False
    return (student.path, student.prefix) != (teacher.path, teacher.prefix)
