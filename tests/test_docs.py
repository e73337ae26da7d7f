"""The documentation: links hold, lines and tables fit a page, examples are what the code does."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

import blemish

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
HOW_TO = ROOT / "docs" / "how-to"
MADE = {"command_line.md", "config.md", "schema.md"}
"""Pages that docs/generate.py makes; below docs/reference."""


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def anchors(text: str) -> set[str]:
    """As MkDocs and GitHub make them of headings."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip()) for head in heads}


def test_relative_links_hold():
    assert len(PAGES) > 30
    made = {f"reference/{name}" for name in MADE}
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            where = (page.parent / path).resolve() if path else page
            if where.is_relative_to(ROOT / "docs") and where.relative_to(ROOT / "docs").as_posix() in made:
                assert page.is_relative_to(ROOT / "docs"), f"{page.name} links {target}, which only the site has"
                continue
            assert where.exists(), f"{page.relative_to(ROOT)} links {target}, which is not there"
            if anchor:
                assert anchor in anchors(where.read_text(encoding="utf-8")), f"{page.relative_to(ROOT)} links {target}"


def test_pages_that_the_code_names_are_there():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    for name in files:
        path = ROOT / name
        if path.suffix in (".py", "") and path.is_file() and path.stat().st_size < 200_000:
            for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8", errors="replace")):
                assert (ROOT / page).exists() or Path(page).name in MADE, f"{name} names {page}, which is not there"


def test_lines_fit_a_page():
    wide = [
        f"{page.relative_to(ROOT)}:{number} is {len(line)} wide"
        for page in PAGES
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > (120 if page.name == "README.md" else 160)
    ]
    assert not wide, wide


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]))
    there = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert listed == there | {f"reference/{name}" for name in MADE}


def test_readme_shows_what_the_docstring_runs():
    """The docstring's example is run by tests/blemish/test_import.py."""
    (shown,) = blocks(ROOT / "README.md", "python")
    examples = doctest.DocTestParser().get_examples(blemish.__doc__ or "")
    assert shown.replace("\n\n", "\n") == "".join(example.source for example in examples)


def test_pages_made_from_the_code_say_what_it_says():
    made = {name: make() for name, make in generator().PAGES.items()}
    assert {Path(name).name for name in made} == MADE
    config, commands, schema = (made[f"reference/{name}.md"] for name in ("config", "command_line", "schema"))
    assert re.search(r"\| `corruption.injection.start_step` \| `-1` \| `int` \| Grid step at which the region", config)
    assert "`region.options` of `blobs`" in config
    assert "| `configs/shards/miniworld.py` | The default of `make shards`" in config
    for verb in ("shards", "check", "detect train", "regions report", "world render", "import pal"):
        assert re.search(rf"^##+ `blemish {verb}`$", commands, re.MULTILINE), verb
    assert "| `below_threshold` | every corrupted region changed too little" in schema


def test_making_the_pages_needs_no_torch():
    path = str(ROOT / "docs" / "generate.py")
    code = f"import runpy, sys; [make() for make in runpy.run_path({path!r})['PAGES'].values()]"
    code += "; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_region_policy_of_the_docs_works(tmp_path, monkeypatch):
    from region_select.policy import item_rng, open_policy

    monkeypatch.chdir(tmp_path)
    Path("centre.py").write_text(blocks(HOW_TO / "own_region_policy.md", "python")[0])
    item = blemish.open_source("miniworld", count=1)[0]
    (found,) = open_policy("centre.py:centre", {"share": 0.25}).select([item], [item_rng(0, item)])
    assert found.mask is not None
    assert found.mask.sum() == 32 * 32
    assert found.mask[16:48, 16:48].all()


def test_the_source_of_the_docs_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stripes.py").write_text(blocks(HOW_TO / "own_source.md", "python")[0])
    source = blemish.open_source("stripes.py:Stripes", count=3)
    assert len(source) == 3
    np.testing.assert_array_equal(source[0].image[:4, 0, 0], [60, 60, 180, 180])
    assert len({item.sha256 for item in source}) == 3


@pytest.mark.parametrize(("page", "name"), [("how-to/own_pictures.md", "mine.py"), ("tutorial/index.md", "mine.py")])
def test_the_configs_of_the_docs_are_valid(page, name, tmp_path):
    from corruptor.line.config import LineConfig
    from shards.config import load_config

    (code,) = [block for block in blocks(ROOT / "docs" / page, "python") if block.startswith(f"# {name}")]
    (tmp_path / name).write_text(code)
    assert load_config(tmp_path / name, LineConfig).source.options["root"] == "pictures"


def test_the_citation_holds_what_the_format_asks_for():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= told.keys()
    assert told["version"] == blemish.__version__
    for one in told["references"]:
        assert {"title", "type", "authors"} <= one.keys()


def commands() -> list[str]:
    """Every `blemish ...` line of a code block, with its continuation lines."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            joined = re.sub(r"\\\n\s*", "", block)
            found += [line.removeprefix("$ ") for line in joined.splitlines() if re.match(r"(\$ )?blemish \w", line)]
    return found


def test_every_command_of_the_docs_parses(capsys):
    from blemish.command import VERBS

    told = commands()
    assert len(told) > 30
    for line in told:
        words = shlex.split(line.partition("   #")[0])[1:]
        verb = VERBS[words[0]]
        module = importlib.import_module(verb.module)
        parser = module.parser(f"blemish {words[0]}") if verb.is_group else module.parser("blemish")
        try:
            parser.parse_args(words[1:] if verb.is_group else words)
        except SystemExit:
            pytest.fail(f"{line}: {capsys.readouterr().err}")
