"""README and docs/: what they link to, run, import and name exists."""

import importlib
import pkgutil
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer

from dino.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
PAGES += [ROOT / "checkpoints" / "README.md"]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(path), flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}  # fmt: skip


def commands(text: str, start: str) -> list[list[str]]:
    """The words after `start` on every line of shell, and in every code span, that has it."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [
        shlex.split(line.split(start, 1)[1], comments=True) for line in lines if f"{start} " in line
    ]


@each_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.is_file(), target
        assert not anchor or anchor in anchors(path), target


@each_page
def test_every_command_and_option_exists(page):
    for words in commands(text_of(page), "-m dino"):
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        groups = getattr(command, "commands", None)
        assert groups is None or not words or words[0] in ("COMMAND", "--help"), words
        known = {name for parameter in command.params for name in parameter.opts}
        known |= {name for parameter in command.params for name in parameter.secondary_opts}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known | {"--help"}, f"{command.name}: {given - known}"


@each_page
def test_every_benchmark_and_target_of_make_exists(page):
    for name in re.findall(r"python -m (bench[\w.]*)", text_of(page)):
        importlib.import_module(name)
    targets = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.M))
    for words in commands(text_of(page), "make"):
        assert {word for word in words if "=" not in word} <= targets, words


@each_page
def test_every_name_of_the_package_exists(page):
    for name in re.findall(
        r"\bdino(?:\.(?!example)[a-zA-Z]\w*)+", text_of(page)
    ):  # a host is dino.example
        pkgutil.resolve_name(name)


@each_page
def test_every_path_of_the_project_exists(page):
    for name in re.findall(r"`((?:dino|app|tests|bench|docs)/[\w./-]*)`", text_of(page)):
        assert (ROOT / name).exists(), name


def test_the_map_names_every_room_in_its_order():
    named = re.findall(r"^\| `(dino|app)/(\w+)/` \|", text_of(ROOT / "README.md"), re.M)
    order = importlib.import_module("test_house").ROOMS
    assert named == [(top, room) for top in order for room in order[top]]
