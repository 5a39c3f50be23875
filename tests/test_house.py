"""The rules of the house: which room may use which, how large rooms get, and what a wheel holds.

A room is a folder of `dino/` or of `app/`. Rooms stand in one order, and imports, lazy ones and those for
types included, go from a room to those before it.
"""

import ast
import subprocess
import sys
import zipfile
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from dino.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "dino": (
        "system",
        "media",
        "canvas",
        "model",
        "weights",
        "attention",
        "features",
        "masks",
        "video",
        "annotation",
        "evaluation",
        "training",
        "cli",
    ),
    "app": ("state", "components", "cache", "ui", "views"),
}
MOST_LOOSE, MOST_IN_A_FOLDER = 5, 24
MODULES = sorted(path for top in ROOMS for path in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in MODULES}


def imported(path: Path) -> set[str]:
    """The project's modules that a file imports anywhere, and the tops of other libraries."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in NAMES else str(node.module) for name in whole}
    return {name if name in NAMES else name.split(".")[0] for name in found}


IMPORTS = {name: imported(path) for name, path in NAMES.items()}
# Packages that hand names on import nothing until they are asked.
ARROWS = {
    name: {other for other in found if other in NAMES and other != name}
    for name, found in IMPORTS.items()
    if NAMES[name].name != "__init__.py"
}


def room(name: str) -> str | None:
    """The room of a module; None for the few that lie loose."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS[parts[0]] else None


@pytest.mark.parametrize("top", ROOMS)
def test_every_folder_is_a_room_of_the_plan(top):
    packages = {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
    assert packages == set(ROOMS[top])


@pytest.mark.parametrize("top", ROOMS)
def test_rooms_use_those_before_them(top):
    order = ROOMS[top]
    wrong = [
        f"{name} → {other}"
        for name, others in ARROWS.items()
        for other in others
        if name.startswith(f"{top}.") and other.startswith(f"{top}.")
        if (here := room(name)) and (there := room(other))
        if order.index(there) > order.index(here)
    ]
    assert not wrong


def test_no_module_imports_itself_through_others():
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_package_never_imports_the_app_or_streamlit():
    for name, found in IMPORTS.items():
        if name.startswith("dino"):
            tops = {other.split(".")[0] for other in found}
            assert not tops & {"app", "streamlit"}, name


def test_views_never_import_views_of_other_folders():
    for name, others in ARROWS.items():
        if name.startswith("app.views."):
            folder = name.split(".")[2]
            strangers = {o for o in others if o.startswith("app.views.")}
            assert all(other.split(".")[2] == folder for other in strangers), name


def test_caching_is_in_its_room_alone():
    for name, path in NAMES.items():
        if room(name) != "cache":
            assert "st.cache_" not in path.read_text(), name


def test_folders_stay_small():
    sizes: dict[Path, int] = defaultdict(int)
    for path in MODULES:
        sizes[path.parent] += path.name != "__init__.py"
    tops = {ROOT / top for top in ROOMS}
    assert not {p for p, size in sizes.items() if size > MOST_IN_A_FOLDER}
    assert not {p for p in tops if sizes[p] > MOST_LOOSE}


def test_a_package_s_face_holds_public_names_or_nothing():
    """Names, their homes, and the two functions that import them on first use."""
    for name, path in NAMES.items():
        if path.name == "__init__.py":
            made = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
            assert {node.name for node in made} <= {"__getattr__", "__dir__"}, name
            assert not any(isinstance(n, ast.ClassDef) for n in ast.parse(path.read_text()).body)


def test_the_summary_reads_reports_and_measures_nothing():
    allowed = (
        *("dino.errors", "dino.system", "dino.media.palettes"),
        *("dino.evaluation.published", "dino.evaluation.report"),
    )
    for name, others in ARROWS.items():
        if name.startswith("dino.evaluation.summary"):
            assert all(o.startswith((*allowed, "dino.evaluation.summary")) for o in others), name


def test_discovery_works_on_arrays_alone():
    for name in ("cut", "methods"):
        found = IMPORTS[f"dino.masks.discovery.{name}"] - set(sys.stdlib_module_names)
        own = {other for other in found if other.startswith("dino")}
        allowed = ("dino.masks.discovery", "dino.errors", "dino.media.regions")
        assert all(other.startswith(allowed) for other in own), name
        assert found - own <= {"numpy", "scipy", "torch"}, name


def test_no_hooks():
    for name, path in NAMES.items():
        assert "register_forward" not in path.read_text(), name


def test_help_imports_no_heavy_library():
    code = (
        "import sys; import dino, dino.cli.main, dino.weights; "
        "print([m for m in ('torch', 'timm', 'streamlit', 'cv2', 'sklearn', 'onnx', 'PIL', 'av', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_wheel_holds_every_module_template_and_script(tmp_path):
    """Built in a copy, so that no build folder is left here; without a network, by what is installed."""
    code = (
        "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    )
    copy = tmp_path / "project"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "dino", "*.toml", "*.txt", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=copy, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]) as wheel:
        held = set(wheel.namelist())
        (scripts,) = (name for name in held if name.endswith("entry_points.txt"))
        assert "dino = dino.__main__:main" in wheel.read(scripts).decode()
        (metadata,) = (name for name in held if name.endswith("/METADATA"))
        assert f"Version: {VERSION}\n" in wheel.read(metadata).decode()
    wanted = {path.relative_to(ROOT).as_posix() for path in MODULES if "app" not in path.parts}
    wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "dino" / "canvas").glob("*.*s")}
    wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "dino").rglob("*.html")}
    wanted |= {"dino/evaluation/published.json"}
    assert wanted <= held
    assert not [name for name in held if name.startswith(("app/", "tests/", "bench/"))]
