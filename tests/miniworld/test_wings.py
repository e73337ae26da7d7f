"""The rooms of the embedded world: imports go one way between them, and in no circle within them."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import miniworld

ROOT = Path(miniworld.__file__).parent
ALLOWED = {
    "world": set(),
    "oracle": {"world"},
    "generator": {"world"},
    "evaluate": {"world", "oracle", "generator"},
}
"""What each wing may import besides itself; the files beside them (source, sets, the commands) may import all."""


def name_of(path: Path) -> str:
    """miniworld/world/scenes.py -> miniworld.world.scenes"""
    return ".".join(("miniworld", *path.relative_to(ROOT).with_suffix("").parts))


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(path: Path, modules: set[str]) -> set[str]:
    """The modules of the package that a file imports anywhere, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path} imports by relative names"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & modules


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a circle of imports; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_file_has_a_room() -> None:
    inside = {path.relative_to(ROOT).parts[0] for path in MODULES.values() if len(path.relative_to(ROOT).parts) > 1}
    assert inside == set(ALLOWED)
    beside = {path.name for path in ROOT.glob("*.py")}
    assert beside == {"__init__.py", "__main__.py", "source.py", "sets.py", "balance.py"}


@pytest.mark.parametrize("wing", ALLOWED)
def test_wings_import_one_way(wing: str) -> None:
    for path in sorted((ROOT / wing).rglob("*.py")):
        rooms = {name.split(".")[1] for name in imported(path, set(MODULES)) if name != "miniworld"}
        wrong = rooms - ALLOWED[wing] - {wing}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}; {wing} may import {ALLOWED[wing] or 'no other'}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: imported(path, set(MODULES)) for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 80  # the graph is read, not empty
    assert circle(graph) == []


def test_circles_are_seen(tmp_path: Path) -> None:
    """Two files that import each other, one of them inside a function, are a circle."""
    (tmp_path / "a.py").write_text("from pair import b")
    (tmp_path / "b.py").write_text("def late():\n    from pair.a import x")
    graph = {f"pair.{n}": imported(tmp_path / f"{n}.py", {"pair.a", "pair.b"}) for n in "ab"}
    assert set(circle(graph)) == {"pair.a", "pair.b"}
