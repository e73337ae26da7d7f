"""A source and a region policy of one's own, outside this repository: named in a config, registered, or installed."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blemish
from blemish.command import main
from corruptor.line.load import load_line
from region_select.label import open_pictures
from region_select.policy import POLICIES, open_policy
from shards.config import read_config
from shards.errors import ConfigError, run_cli
from shards.source import SOURCES, open_source

ROOT = Path(__file__).resolve().parents[2]
MINE = '''
"""A source and two region policies in one file."""
import hashlib
from dataclasses import dataclass

import numpy as np
from blemish import ItemPolicy, Selection, Source, SourceItem

@dataclass(frozen=True)
class StripeOptions:
    width: int = 8
    """Of the stripe in pixels."""

class Stripe(ItemPolicy):
    """A vertical stripe at a random place."""
    Options = StripeOptions

    def propose(self, item, rng):
        mask = np.zeros(item.image.shape[:2], np.uint8)
        left = int(rng.integers(0, mask.shape[1] - self.options.width))
        mask[:, left : left + self.options.width] = 1
        return Selection(mask, facts={"left": left})

def corner(item, rng, side=8):
    """A square in the corner.

    Args:
        side: of the square in pixels.
    """
    mask = np.zeros(item.image.shape[:2], bool)
    mask[:side, :side] = True
    return mask

class Gradients(Source):
    """Smooth pictures.

    Args:
        count: how many.
    """
    name = "gradients"

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        y, x = np.mgrid[0:32, 0:32]
        image = np.stack([x * (index + 1) % 256, y * 7 % 256, (x + y) * 3 % 256], axis=-1).astype(np.uint8)
        return SourceItem(image, f"gradient:{index}", hashlib.sha256(image.tobytes()).hexdigest(), set_name=self.name)

    def listing(self):
        return (f"gradient {index}" for index in range(self.count))
'''
CONFIG = """
from mmengine.config import read_base
with read_base():
    from configs.shards.miniworld import *
    from .more import *
source = dict(name="mine.py:Gradients", options=dict(count=2))
model = dict(folder={model!r})
region = dict(policy="mine.py:Stripe", options=dict(width=12))
corruption.update(num_grid_steps=50, injection=dict(start_step=48), verification=dict(policy="keep"))
samples.update(clean_share=0.0)
"""


@pytest.fixture
def outside(tmp_path: Path, front_model: Path) -> Path:
    """A folder with a user's code, and configs that inherit from ours and from their own neighbours."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "more.py").write_text('title = "Stripes"\nlicence = "mine"\n')
    (tmp_path / "my_config.py").write_text(CONFIG.format(model=str(front_model)))
    return tmp_path


def blemish_command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.pop(0); from blemish.command import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_a_run_of_own_code_from_a_config_outside(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    elsewhere = outside / "elsewhere"
    elsewhere.mkdir()
    command = ["shards", str(outside / "my_config.py"), "--out", "run"]
    done = blemish_command(*command, cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    run = blemish.open_run(elsewhere / "run")
    assert (len(run), run.title, run.licence) == (2, "Stripes", "mine")
    assert run.config["region"]["policy"] == "mine.py:Stripe"
    assert "code " in run.config["region"]["digest"]
    for sample in run:
        assert (sample.mask.sum(axis=0) == 32).sum() == 12
        assert sample.meta.source.set == "gradients"
        assert set(sample.meta.region.options["chosen"]) == {"left"}

    monkeypatch.chdir(elsewhere)
    assert main(command) == 0
    (outside / "mine.py").write_text(MINE + "\n# other code is another run\n")
    assert main(command) == 2
    assert "region.digest" in capsys.readouterr().err

    # What a manifest names is not run unless it is named again.
    key = run.reader.key(0)
    assert main(["remake", "run", key]) == 2
    assert "what a manifest names is not run" in capsys.readouterr().err
    assert main(["remake", "run", key, "--set", f"source.name={outside / 'mine.py'}:Gradients"]) == 0
    assert "the same" in capsys.readouterr().out


def test_own_code_in_the_working_folder_and_as_a_module(outside: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(outside)
    (outside / "my_own_package_xyz").mkdir()
    (outside / "my_own_package_xyz" / "policies.py").write_text(MINE)
    for name in ("mine.py:Stripe", "my_own_package_xyz.policies:Stripe"):
        masks = blemish.select_regions(np.zeros((16, 16, 3), np.uint8), name, width=4)
        assert masks[0].sum() == 16 * 4
    mixed = open_policy("mix", {"parts": [{"policy": "blobs"}, {"policy": "mine.py:corner"}]})
    assert mixed.digest().startswith("code ")
    assert str(outside) not in sys.path
    assert len(open_source("mine.py:Gradients", count=5)) == 5
    assert len(open_pictures("mine.py:Gradients", ["count=4"])) == 4


WORKER = """
import pickle, sys
source, policy = pickle.load(open(sys.argv[1], "rb"))
from numpy import random
item = source[1]
print(item.uri, policy.select([item], [random.default_rng(0)])[0].mask.sum())
"""


def test_own_code_pickles_into_other_processes(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(outside)
    (outside / "my.own code.py").write_text("import beside_my_own_code\n" + MINE)
    (outside / "beside_my_own_code.py").write_text("")
    for name in ("mine.py", "my.own code.py"):
        given = open_source(f"{name}:Gradients", count=2), open_policy(f"{name}:Stripe", {"width": 3})
        (tmp_path / "given.pickle").write_bytes(pickle.dumps(given))
        command = [sys.executable, "-c", WORKER, str(tmp_path / "given.pickle")]
        run = partial(subprocess.run, command, cwd="/", env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
        done = run(capture_output=True)
        assert done.stdout.split() == ["gradient:1", "96"], done.stderr
        (outside / name).write_text(MINE + "# other code\n")
        assert f"{name} has changed since it was named" in run(capture_output=True).stderr
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        uris = pool.map(open_source("mine.py:Gradients", count=2).__getitem__, [0, 1])
    assert [item.uri for item in uris] == ["gradient:0", "gradient:1"]


def test_new_code_of_the_same_size_and_second_is_new(outside: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(outside)
    for width in (3, 5):
        (outside / "quick.py").write_text(f"import numpy as np\ndef f(item, rng): return np.eye({width}, dtype='u1')\n")
        os.utime(outside / "quick.py", (1e9, 1e9))
        assert blemish.select_regions(np.zeros((width, width, 3), np.uint8), "quick.py:f")[0].sum() == width


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("self.count = count", "self.count = count[0]", "TypeError: 'int' object is not subscriptable"),
        ("return self.count", "return self.number", "AttributeError: 'Gradients' object has no attribute 'number'"),
        ("y, x = np.mgrid", "index / 0; y, x = np.mgrid", "ZeroDivisionError: division by zero"),
        ('(f"gradient {index}"', "(index / 0", "ZeroDivisionError: division by zero"),
        ("left = int(", "left = int('a' or ", "ValueError: invalid literal for int() with base 10: 'a'"),
        ("mask = np.zeros(item.image.shape[:2], np.uint8)", "raise KeyError(7)", "KeyError: 7"),
    ],
)
def test_own_code_that_fails_is_one_line_with_its_place(
    old: str, new: str, line: str, outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(outside)
    number = MINE[: MINE.index(old)].count("\n") + 1
    (outside / "mine.py").write_text(MINE.replace(old, new, 1))
    assert main(["shards", "my_config.py", "--out", "run"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {outside / 'mine.py'}: {line} (line {number})"


FAILS_IN_POOL = """
import sys
from shards.errors import run_cli
from shards.pool import in_processes
from shards.source import sources

def open_it(name):
    return sources().find(name)()

if __name__ == "__main__":
    sys.exit(run_cli(lambda: list(in_processes(1, open_it, [sys.argv[1]], "task")) and 0))
"""


def test_own_code_that_fails_in_a_process_of_a_pool_is_one_line(tmp_path: Path):
    (tmp_path / "mine.py").write_text("def fails():\n    return 1 / 0\n")
    (tmp_path / "work.py").write_text(FAILS_IN_POOL)
    words = [sys.executable, "work.py", "mine.py:fails"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    wanted = f"error: {tmp_path / 'mine.py'}: ZeroDivisionError: division by zero (line 2)"
    assert done.stderr.splitlines()[-1] == wanted


def test_errors_of_our_own_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_cli(lambda: 1 // 0)


def test_a_function_is_a_policy(outside: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(outside)
    image = np.zeros((16, 24, 3), np.uint8)
    masks = blemish.select_regions(image, "mine.py:corner", side=5)
    assert (masks[0].sum(), masks[0].dtype) == (25, np.uint8)
    with pytest.raises(ConfigError, match="unknown option 'sides'; did you mean 'side'"):
        blemish.select_regions(image, "mine.py:corner", sides=5)
    assert blemish.select_regions(image, "mine.py:corner", side=0).found == (False,)
    monkeypatch.setattr("region_select.policy.POLICIES", dict(POLICIES))
    for wrong in (np.ones((3, 3), np.uint8), np.ones((16, 24)), [[1]], np.full((16, 24), 7, np.uint8)):
        blemish.register_region_policy("wrong", lambda item, rng, wrong=wrong: wrong)
        with pytest.raises(ValueError, match=r"needed: uint8 HW|allowed are \[0, 1, 255\]"):
            blemish.select_regions(image, "wrong")
    blemish.register_region_policy("fails", lambda item, rng: 1 / 0)
    with pytest.raises(ConfigError, match=r"'fails' fails on image 0: .*\.py: ZeroDivisionError: .* zero \(line \d+\)"):
        blemish.select_regions(image, "fails")


def test_what_is_registered_in_python(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("region_select.policy.POLICIES", dict(POLICIES))
    monkeypatch.setattr("shards.source.SOURCES", dict(SOURCES))

    class Everything(blemish.ItemPolicy):
        def propose(self, item: Any, rng: Any) -> blemish.Selection:
            return blemish.Selection(np.ones(item.image.shape[:2], np.uint8))

    blemish.register_region_policy("everything", Everything)
    assert blemish.select_regions(np.zeros((4, 4, 3), np.uint8), "everything")[0].all()
    with pytest.raises(ConfigError, match=r"unknown key 'region\.options\.area'"):
        open_policy("everything", {"area": 1})
    with pytest.raises(ConfigError, match="did you mean 'everything'"):
        open_policy("everythin")
    blemish.register_source("none", lambda: 3)
    with pytest.raises(ConfigError, match="gave a int, not a Source"):
        open_source("none")


def test_entry_points_of_an_installed_package(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = tmp_path / "site"
    (site / "stripes_of_mine-1.0.dist-info").mkdir(parents=True)
    (site / "stripes_of_mine.py").write_text(MINE)
    (site / "stripes_of_mine-1.0.dist-info" / "METADATA").write_text("Name: stripes_of_mine\nVersion: 1.0\n")
    (site / "stripes_of_mine-1.0.dist-info" / "entry_points.txt").write_text(
        "[blemish.sources]\ngradients = stripes_of_mine:Gradients\n"
        "[blemish.region_policies]\nstripe = stripes_of_mine:Stripe\n"
    )
    monkeypatch.syspath_prepend(str(site))
    assert len(open_source("gradients", count=4)) == 4
    assert blemish.select_regions(np.zeros((16, 16, 3), np.uint8), "stripe", width=2)[0].sum() == 32
    with pytest.raises(ConfigError, match="unknown source 'gradient'; did you mean 'gradients'"):
        open_source("gradient")
    from corruptor.line.fields import fields_text

    assert "region.options.width = 8   [int]\n      Of the stripe in pixels." in fields_text("region.options.width")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("mine.py:Strip", None, "mine.py defines no Strip; did you mean 'Stripe'"),
        ("nowhere.py:Stripe", None, "no file nowhere.py; looked in"),
        ("nowhere.at.all:Stripe", None, "nowhere.at.all cannot be imported: ModuleNotFoundError"),
        ("mine.py:", None, "not of the form FILE.py:NAME"),
        ("bad.py:x", "raise RuntimeError()\n", r"bad.py cannot be imported: RuntimeError: no message \(line 1\)"),
        ("bad.py:x", "a = 1\nb = a +\n", r"SyntaxError: invalid syntax .*line 2"),
        ("bad.py:x", "x = 3\n", "is a int, not a class or function"),
        ("bad.py:x", "class x:\n    pass\n", "x is not a Policy"),
    ],
)
def test_code_that_cannot_be_used_is_one_line(
    name: str, code: str | None, message: str, outside: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(outside)
    if code is not None:
        (outside / "bad.py").write_text(code)
    with pytest.raises(ConfigError, match=message) as caught:
        open_policy(name)
    assert "\n" not in str(caught.value)


def test_a_config_outside_inherits_ours(outside: Path):
    values = read_config(outside / "my_config.py")
    assert (values["title"], values["samples"]["misspell"]) == ("Stripes", True)
    (outside / "deeper.py").write_text(
        "from mmengine.config import read_base\nwith read_base():\n"
        "    from configs.shards.sd15_progamer_recommended import *\nseed = 4\n"
    )
    assert read_config(outside / "deeper.py")["seed"] == 4
    assert "folder" in json.dumps(read_config(outside / "deeper.py")["model"])


def test_code_is_looked_for_beside_the_config_that_was_read_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    base = "from mmengine.config import read_base\nwith read_base():\n    from configs.shards.hps import *\n"
    for number in (1, 2, 3):
        folder = tmp_path / f"project {number % 2}"
        folder.mkdir(exist_ok=True)
        (folder / "same_name.py").write_text(f"def f(item, rng): return item.image[..., 0] * 0 + {number % 2}\n")
        (folder / "folder.py").write_text((folder / "same_name.py").read_text())  # a name that ours have too
        (folder / "config.py").write_text(base)
        load_line(folder / "config.py")
        for name in ("same_name", "folder"):
            masks = blemish.select_regions(np.zeros((4, 4, 3), np.uint8), f"{name}.py:f")
            assert masks.found == (bool(number % 2),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from region_select.policy import register_policy\nregister_policy('a', 'b:c')\n", "FILE.py:NAME"),
        ("raise RuntimeError()\n", "RuntimeError: no message"),
        ("with read_base():\n    from configs.shards.nothing import *\n", "nothing.py not found"),
    ],
)
def test_a_config_that_fails_says_why(text: str, message: str, tmp_path: Path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "mine.py")
