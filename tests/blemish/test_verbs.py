"""The tree of verbs: quick to ask, whole, and every example in it can be parsed (test_examples.py runs them)."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from verb_tools import all_examples, all_verbs, examples_in, parser_of, verbs_in

from blemish.command import VERBS, main
from corruptor.line.fields import sections

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "mmseg", "mmengine", "diffusers", "transformers", "PIL", "scipy")


def test_help_is_there_at_once_and_loads_nothing():
    code = (
        "import sys\nfrom blemish.command import main\ntry:\n    main(['--help'])\nexcept SystemExit as stop:\n"
        f"    assert stop.code == 0\nassert not set({HEAVY!r}) & set(sys.modules), 'heavy'"
    )
    took = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        took.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
        assert "detect" in done.stdout
    assert min(took) < 0.8


def test_the_script_and_its_package_are_in_the_wheel():
    from setuptools import find_namespace_packages

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"blemish": "blemish.command:main"}
    found = project["tool"]["setuptools"]["packages"]["find"]
    packages = find_namespace_packages(str(ROOT), include=found["include"], exclude=found["exclude"])
    assert {"blemish", "configs.shards", "corruptor.line", "detector.score", "miniworld.weights"} <= set(packages)
    assert not {"tests", "benchmarks", "experiments"} & {name.split(".")[0] for name in packages}


def test_the_tree_says_of_a_verb_what_its_parser_says():
    for name, (_, line) in all_verbs().items():
        verb = name.split()[1]
        if not VERBS[verb].is_group and name == f"blemish {verb}":
            assert VERBS[verb].help == line


def test_every_verb_of_the_packages_is_in_the_tree():
    names = set(all_verbs())
    for module in ("corruptor", "shards"):
        for name, _, _ in verbs_in(importlib.import_module(f"{module}.__main__").parser("blemish")):
            assert name in names
    assert {"blemish detect predict", "blemish regions masks", "blemish world render", "blemish import pal"} <= names


def test_every_verb_has_an_example_that_can_be_parsed():
    for name, (parser, _) in all_verbs().items():
        mine = [one for one in examples_in(parser.epilog or "") if one.startswith(name)]
        assert mine, f"{name} --help has no example"
    assert len(all_examples()) > 30
    for example in all_examples():
        words = shlex.split(example)[1:]
        if words[0] == "VERB":
            continue
        parser_of(words[0]).parse_args(words[1:] if VERBS[words[0]].is_group else words)


@pytest.mark.parametrize(("words", "code"), [([], 2), (["shrads"], 2), (["--help"], 0), (["--version"], 0)])
def test_the_top(words: list[str], code: int, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == code
    said = capsys.readouterr()
    assert ("blemish" in said.err) if code else ("blemish" in said.out)


def test_bad_input_ends_with_one_line_and_2(capsys: pytest.CaptureFixture[str]):
    assert main(["check", "nothing/here"]) == 2
    assert capsys.readouterr().err.startswith("error: shards nothing/here do not exist")
    assert main(["config", "fields", "corruptoin"]) == 2
    assert "no field of the config begins with 'corruptoin'" in capsys.readouterr().err


def test_usage_names_what_was_typed(capsys: pytest.CaptureFixture[str]):
    for words, usage in ((["detect", "score"], "blemish detect score"), (["shards", "--rank"], "blemish shards")):
        with pytest.raises(SystemExit):
            main(words)
        assert capsys.readouterr().err.startswith(f"usage: {usage} ")


def test_every_field_of_a_config_says_what_it_means(capsys: pytest.CaptureFixture[str]):
    silent = [(title, one.name) for title, fields in sections() for one in fields if not one.meaning]
    assert silent == []
    with pytest.raises(SystemExit):
        main(["shards", "--help"])
    said = capsys.readouterr().out
    assert "usage: blemish shards" in said
    assert "corruption.injection.start_step = -1   [int]" in said
    assert "region.options where region.policy = 'blobs'" in said
    with pytest.raises(SystemExit):
        main(["shards", "--help-config"])
    assert "usage" not in capsys.readouterr().out


def test_a_reader_who_has_seen_enough_is_no_traceback():
    code = "from blemish.command import main; import sys; sys.exit(main(['config', 'fields']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        said = child.stderr.read()
    assert b"Traceback" not in said
