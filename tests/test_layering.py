"""Imports go one way, and heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("shards", "miniworld", "detector", "region_select", "corruptor", "leakcheck", "ablation", "applications")
PACKAGES += ("blemish",)
BESIDE = {"benchmarks", "experiments", "tests"}
"""Stand on the packages; are not installed, and nothing that is installed needs them."""
ALLOWED = {
    "shards": set(),
    "miniworld": {"shards"},
    "detector": {"shards"},
    "region_select": {"detector", "shards"},
    "corruptor": {"region_select", "miniworld", "shards"},
    "leakcheck": {"corruptor", "detector", "shards"},
    "ablation": {"corruptor", "region_select", "detector", "miniworld", "shards"},
    "applications": {"corruptor", "region_select", "detector", "shards"},
    "blemish": {"ablation", "applications", "corruptor", "region_select", "detector", "shards"},
}
ROOMS = {
    "diffusers": {"corruptor", "miniworld", "applications"},
    "mmseg": {"detector"},
    "mmcv": {"detector"},
    "torch": {"corruptor", "miniworld", "detector", "region_select", "ablation", "applications", "blemish"},
    "transformers": {"corruptor", "miniworld", "detector", "applications"},
    "ray": {"shards"},
    "obstore": {"shards"},
}


INNER = {
    ("shards", "guard"): {"shards.errors"},
    ("shards", "sources"): {"shards", "shards.guard"},
    ("shards", "human"): {"shards", "shards.guard", "shards.sources"},
    ("shards", "export"): {"shards", "shards.guard"},
    ("shards", "view"): {"shards", "shards.guard"},
    ("shards", "publish"): {"shards", "shards.guard"},
    ("shards", ""): {"shards.guard"},
    ("corruptor", ""): set(),
    ("corruptor", "line"): {"corruptor"},
    ("detector", "score"): set(),
    ("detector", ""): {"detector.score"},
}
"""Rooms within a package, "" for the modules that stand in it directly: what each may import of the others. Only
`__main__` may import all; names in quotes, such as a registry's, are looked up at run time and do not count."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Top-level names imported anywhere in a file, lazily or not."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    for path in modules(package):
        wrong = (imports(path) & {*PACKAGES, *BESIDE}) - ALLOWED[package] - {package}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}; {package} may import {ALLOWED[package]}"


def room_of(package: str, dotted: str) -> str:
    """`shards.sources.tars` -> `shards.sources`; a module directly in the package -> the package."""
    inner = dotted.split(".")[1:2]
    return f"{package}.{inner[0]}" if inner and (package, inner[0]) in INNER else package


def targets(path: Path, package: str) -> set[str]:
    """Modules of a package that a file imports, in dotted form, lazily or not."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    found |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name for name in found if name.split(".")[0] == package}


@pytest.mark.parametrize(("package", "room"), INNER)
def test_rooms_within_a_package_point_one_way(package, room):
    home = f"{package}.{room}" if room else package
    folder = ROOT / package / room
    files = sorted(folder.rglob("*.py") if room else folder.glob("*.py"))
    assert len(files) > 2
    for path in files:
        if path.name == "__main__.py":
            continue
        for target in targets(path, package):
            allowed = INNER[package, room]
            fits = room_of(package, target) in {home, *allowed} or target in allowed
            assert fits, f"{path.relative_to(ROOT)} imports {target}; {home} may import {allowed or 'itself alone'}"


@pytest.mark.parametrize("library", ROOMS)
def test_heavy_libraries_stay_in_their_rooms(library):
    for package in PACKAGES:
        for path in modules(package):
            inside = library not in imports(path) or package in ROOMS[library]
            assert inside, f"{path.relative_to(ROOT)} imports {library}; only {ROOMS[library]} may"


# `blemish` is what a stranger imports: its names are loaded when they are used (tests/blemish/test_import.py).
@pytest.mark.parametrize("package", [name for name in PACKAGES[:-1] if (ROOT / name / "__init__.py").exists()])
def test_package_files_are_nearly_empty(package):
    for path in (ROOT / package).rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        code = [node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        assert len(code) <= 2, f"{path.relative_to(ROOT)} does more than say what the package is"


def test_reading_and_writing_shards_loads_nothing_heavy():
    files = [path for path in modules("shards") if not path.stem.startswith("_")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    code = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "heavy = {'torch', 'diffusers', 'mmengine', 'mmseg', 'transformers', 'webdataset', 'ray', 'obstore'}\n"
        "heavy &= set(sys.modules)\nsys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_plan_costs_is_computed_without_torch():
    code = (
        "import sys\nimport corruptor.line.cost, corruptor.line.plan, corruptor.line.report\n"
        "import corruptor.line.inspect_source\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'mmseg'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
