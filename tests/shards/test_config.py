"""Configs: inheritance, overrides, and mistakes that must not pass silently."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Literal

import pytest

from shards.build import LATER, build, plain
from shards.config import apply_overrides, config_hash, differences, load_config, make_config, parse_override
from shards.errors import ConfigError, MissingInputError


@dataclass(frozen=True)
class Inner:
    mode: Literal["warm", "ddim"] = "warm"
    passes: tuple[int, ...] = (2, 3, 1)
    eta: float = 0.0


@dataclass(frozen=True)
class Config:
    seed: int
    inner: Inner = field(default_factory=Inner)
    name: str = ""
    tau: float | None = None
    options: dict[str, int] = field(default_factory=dict)
    verbose: bool = False

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")


def test_inheritance_by_read_base(tmp_path):
    (tmp_path / "base.py").write_text("seed = 3\ninner = dict(mode='ddim', passes=[1, 2])\n")
    (tmp_path / "delta.py").write_text(
        "from mmengine.config import read_base\nwith read_base():\n    from .base import *\ninner.update(eta=1)\n"
    )
    config = load_config(tmp_path / "delta.py", Config, ["tau=0.5", "name=hello world", "options.a=1"])
    assert config == Config(3, Inner("ddim", (1, 2), 1.0), "hello world", 0.5, {"a": 1})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", "unknown key 'sed'; did you mean 'seed'"),
        ("inner.mod='ddim'", "unknown key 'inner.mod'; did you mean 'mode'"),
        ("inner.mode=warn", "inner.mode = 'warn'; did you mean 'warm'"),
        ("mode='ddim'", "unknown key 'mode'; did you mean 'inner.mode'"),
        ("seed=1.5", "seed must be int, got float 1.5"),
        ("seed=True", "seed must be int, got bool True"),
        ("verbose=1", "verbose must be bool"),
        ("seed=-1", "seed must be 0 or more"),
        ("inner.passes=3", "inner.passes must be a list"),
        ("inner.passes=[1,'x']", r"inner.passes\[1\] must be int"),
        ("inner=3", "inner: expected a dict"),
        ("seed.x=1", "seed is the value 1, not a group"),
        ("seed", "not of the form NAME=VALUE"),
        ("=3", "not of the form NAME=VALUE"),
    ],
)
def test_mistakes_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        make_config(apply_overrides({"seed": 1}, [override]), Config)


def test_missing_key_and_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="missing key 'seed'"):
        make_config({}, Config)
    with pytest.raises(MissingInputError, match="does not exist"):
        load_config(tmp_path / "no.py", Config)
    (tmp_path / "bad.py").write_text("seed = 1 +\n")
    with pytest.raises(ConfigError, match="SyntaxError"):
        load_config(tmp_path / "bad.py", Config)


def test_overrides_are_data_not_code():
    assert parse_override("a.b=__import__('os').getcwd()") == (["a", "b"], "__import__('os').getcwd()")
    base = {"inner": {"eta": 1.0}}
    assert apply_overrides(base, ["inner.eta=2"]) == {"inner": {"eta": 2}}
    assert base == {"inner": {"eta": 1.0}}


def test_hash_is_pinned_and_sees_every_value():
    assert config_hash(Config(1)) == config_hash(make_config({"seed": 1}, Config)) == "7a30ab3fff938ca8"
    assert config_hash(Config(1)) != config_hash(Config(1, Inner(eta=1e-9)))


def test_differences_name_the_path():
    assert differences({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3}) == ["a.b: 1 there, 2 now", "c: 'nothing' there, 3 now"]


def test_importing_the_loader_imports_no_mmengine():
    code = "import sys, shards.config; sys.exit('mmengine' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass(frozen=True)
class Grown:
    """A config that got a field after runs had been made."""

    first: int = 1
    second: str = field(default="", metadata={LATER: True})


def test_a_field_that_came_later_leaves_runs_as_they_were():
    """Written down only where it is used, so that manifests and hashes of other configs stay the same."""
    assert plain(Grown()) == {"first": 1}
    assert config_hash(Grown()) == config_hash({"first": 1})
    assert plain(Grown(second="x")) == {"first": 1, "second": "x"}
    for value in (Grown(), Grown(second="x")):
        assert build(Grown, plain(value)) == value
