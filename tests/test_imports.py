"""Imports go one way, and the command line's help stays quick because heavy libraries come late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEAVES = [
    "attention_kernel",
    "cleanup",
    "colors",
    "correspondence",
    "errors",
    "geometry",
    "images",
    "label_maps",
    "masks",
    "position",
    "precision",
    "preprocessing",
    "projections",
    "prompts",
    "propagation",
    "queries",
    "render",
    "reference",
    "refine",
    "thresholds",
    "tsne_worker",
]
# What a leaf may import from the package: other leaves, never a network or a page.
ALLOWED_IN_LEAVES = {f"dino.{name}" for name in LEAVES}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


MODULES = sorted((ROOT / "dino").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_package_never_imports_the_app_or_streamlit(path):
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"app", "streamlit"}


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_import_leaves_only(name):
    own = {n for n in imported(ROOT / "dino" / f"{name}.py") if n.startswith("dino.")}
    modules = {".".join(n.split(".")[:2]) for n in own}
    assert modules <= ALLOWED_IN_LEAVES


def test_the_summary_reads_reports_and_measures_nothing():
    allowed = ("dino.errors", "dino.evaluation.published", "dino.evaluation.report")
    for path in (ROOT / "dino" / "evaluation" / "summary").glob("*.py"):
        own = {name for name in imported(path) if name.startswith("dino.")}
        assert all(name.startswith((*allowed, "dino.evaluation.summary")) for name in own), path


@pytest.mark.parametrize("name", ["reading", "writing"])
def test_video_files_know_of_nothing_but_errors(name):
    own = {n for n in imported(ROOT / "dino" / "video" / f"{name}.py") if n.startswith("dino.")}
    assert {".".join(n.split(".")[:2]) for n in own} == {"dino.errors"}


@pytest.mark.parametrize("path", sorted((ROOT / "dino" / "discovery").glob("*.py")), ids=str)
def test_discovery_works_on_arrays_alone(path):
    names = imported(path)
    own = {name for name in names if name.startswith("dino")}
    assert all(name.startswith(("dino.masks.discovery", "dino.errors")) for name in own)
    others = {name.split(".")[0] for name in names - own} - set(sys.stdlib_module_names)
    assert others <= {"numpy", "scipy", "torch"}


def test_only_services_caches():
    for path in (ROOT / "app").rglob("*.py"):
        if not path.name.endswith("services.py"):
            assert "cache_data" not in path.read_text(), path
            assert "cache_resource" not in path.read_text(), path


def test_no_hooks():
    for path in [*MODULES, *(ROOT / "app").rglob("*.py")]:
        assert "register_forward" not in path.read_text(), path


def test_help_imports_no_heavy_library():
    code = (
        "import sys; import dino, dino.cli, dino.weights; "
        "print([m for m in ('torch', 'timm', 'streamlit', 'cv2', 'sklearn', 'onnx', 'PIL', 'av') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
