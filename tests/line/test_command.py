"""The command line: what it takes, what it says, and how it ends."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_tools import line_values, tree
from PIL import Image

from corruptor.__main__ import main, parser
from corruptor.config import InversionConfig
from corruptor.line.config import LineConfig
from shards.config import INSTALLED, load_config

CONFIGS = sorted(path.relative_to(INSTALLED) for path in (INSTALLED / "configs" / "shards").glob("[a-z]*.py"))


@pytest.fixture
def config_file(pictures: Path, tiny_model: Path, tmp_path: Path) -> Callable[..., str]:
    """A config file of a quick run."""

    def write(**changes: Any) -> str:
        values = line_values(pictures, tiny_model, **changes)
        path = tmp_path / "quick.py"
        path.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))
        return str(path)

    return write


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error: exactly one line."""
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    return said[0]


def test_the_command_line_is_frozen():
    """A change here is a change for everybody's scripts."""
    args = vars(parser().parse_args(["shards", "--out", "x"]))
    args.pop("run")
    assert args == {
        "verb": "shards",
        "config": "configs/shards/miniworld.py",
        "out": Path("x"),
        "overrides": [],
        "dry_run": False,
        "extend": False,
        "preview": None,
        "gpu": "h100",
        "rank": None,
        "num_processes": None,
        "engine": "local",
        "actors": 0,
        "actor_cpus": 1.0,
        "actor_gpus": None,
        "address": "",
        "wait": 30.0,
    }
    args = vars(parser().parse_args(["remake", "a.tar", "00000_00001"]))
    args.pop("run")
    assert args == {"verb": "remake", "shard": "a.tar", "key": "00000_00001", "out": None, "overrides": []}


def test_a_run_read_by_tarfile_and_pillow_alone(config_file: Callable[..., str], tmp_path: Path, capsys: Any):
    out = tmp_path / "run"
    assert main(["shards", config_file(), "--out", str(out), "--set", "seed=3"]) == 0
    said = capsys.readouterr().out
    assert "12 samples" in said
    assert "images/s" in said
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted((out / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".", 1)
                found.setdefault(key, {})[extension] = tar.extractfile(member).read()
    assert len(found) == 12
    labels = set()
    for members in found.values():
        assert set(members) == {"webp", "mask.png", "json", "source.webp"}
        mask = np.asarray(Image.open(io.BytesIO(members["mask.png"])))
        label = json.loads(members["json"])["label"]
        labels.add(label)
        assert set(np.unique(mask)) == ({0, 255} if label == "artifact" else {0})
        assert Image.open(io.BytesIO(members["webp"])).size == Image.open(io.BytesIO(members["source.webp"])).size
    assert labels == {"artifact", "clean"}
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["config"]["seed"] == 3
    assert manifest["config"]["compute"]["num_threads"] == 1
    assert Image.open(out / "sheet.png").size[0] > 500


def test_remaking_a_sample_gives_it_again(config_file: Callable[..., str], tmp_path: Path, capsys: Any):
    out, again = tmp_path / "run", tmp_path / "again"
    assert main(["shards", config_file(), "--out", str(out)]) == 0
    shard = str(out / "shards" / "00001.tar")
    for key in ("00001_00000", "00001_00003"):
        assert main(["remake", shard, key, "--out", str(again)]) == 0
        assert f"{key}: the same" in capsys.readouterr().out
    assert sorted(tree(again)) == sorted(
        f"{key}.{ending}"
        for key in ("00001_00000", "00001_00003")
        for ending in ("json", "mask.png", "source.webp", "webp")
    )
    with tarfile.open(shard) as tar:
        stored = json.loads(tar.extractfile("00001_00003.json").read())
    remade = json.loads((again / "00001_00003.json").read_text())
    # Measured means may move by rounding: the batch was another.
    measured = {"change", "components", "extra"}
    assert {k: v for k, v in remade.items() if k not in measured} == {
        k: v for k, v in stored.items() if k not in measured
    }


@pytest.mark.parametrize("policy", ["ignore", "tighten"])
def test_remaking_where_verification_took_components_away(
    policy: str, config_file: Callable[..., str], tmp_path: Path, capsys: Any
):
    corruption = {"injection": {"start_step": 47}, "verification": {"threshold": 52.0, "policy": policy}}
    region = {"policy": "blobs", "options": {"area": [0.01, 0.1], "max_blobs": 4}}
    out = tmp_path / "run"
    assert main(["shards", config_file(corruption=corruption, region=region), "--out", str(out)]) == 0
    with tarfile.open(out / "shards" / "00000.tar") as tar:
        metas = {
            name.split(".")[0]: json.loads(tar.extractfile(name).read())
            for name in tar.getnames()
            if name.endswith(".json")
        }
    trimmed = [key for key, meta in metas.items() if "proposed_mask" in meta["extra"]]
    assert trimmed, "no component was below the threshold; choose another one"
    assert main(["remake", str(out), trimmed[0]]) == 0
    assert "the same" in capsys.readouterr().out


def test_remaking_from_another_picture_or_model_is_refused(
    config_file: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "run"
    assert main(["shards", config_file(), "--out", str(out)]) == 0
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (32, 32)).save(other / "a.png")
    capsys.readouterr()
    assert main(["remake", str(out), "00000_00000", "--set", f"source.options.root={other}"]) == 2
    assert "sha256" in one_line(capsys)
    assert main(["remake", str(out), "00000_00099"]) == 2
    assert "no sample '00000_00099'" in one_line(capsys)


def test_a_dry_run_makes_nothing(config_file: Callable[..., str], tmp_path: Path, capsys: Any):
    assert main(["shards", config_file(), "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    assert "12 rows" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corruption.injection.start_stepp=3", "did you mean 'start_step'"),
        ("seed=abc", "seed must be int"),
        ("source.name=folders", "did you mean 'folder'"),
        ("source.options.rooot=x", "rooot"),
        ("region.policy=blob", "did you mean 'blobs'"),
        ("model.folder=nowhere", "nowhere"),
        ("model.folder=miniworld/nothing", "not in this installation"),
        ("compute.device=warp", "device is 'warp'"),
        ("corruption.resampling.num_steps=900", "num_steps"),
        ("seed", "NAME=VALUE"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    override: str, message: str, config_file: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["shards", config_file(), "--out", str(tmp_path / "run"), "--set", override]) == 2
    assert message in one_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"])
def test_a_model_folder_that_misses_a_part(
    part: str,
    config_file: Callable[..., str],
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    broken = tmp_path / "broken"
    for path in tiny_model.rglob("*"):
        relative = path.relative_to(tiny_model)
        if path.is_file() and relative.parts[0] != part:
            (broken / relative).parent.mkdir(parents=True, exist_ok=True)
            (broken / relative).symlink_to(path)
    assert main(["shards", config_file(model={"folder": str(broken)}), "--out", str(tmp_path / "run")]) == 2
    assert part in one_line(capsys)
    assert not (tmp_path / "run").exists()


def test_damaged_weights_are_one_line(
    config_file: Callable[..., str], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    broken = tmp_path / "broken"
    for path in tiny_model.rglob("*"):
        if path.is_file():
            target = broken / path.relative_to(tiny_model)
            target.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            target.write_bytes(
                data[: len(data) // 2] if path.parent.name == "unet" and path.suffix == ".safetensors" else data
            )
    assert main(["shards", config_file(model={"folder": str(broken)}), "--out", str(tmp_path / "run")]) == 2
    assert "cannot be loaded" in one_line(capsys)


def test_an_output_that_cannot_be_written(config_file: Callable[..., str], tmp_path: Path, capsys: Any):
    (tmp_path / "file").write_text("in the way")
    assert main(["shards", config_file(), "--out", str(tmp_path / "file" / "run")]) == 2
    assert "cannot be written" in one_line(capsys)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert main(["shards", config_file(), "--out", str(tmp_path / "mine")]) == 2
    assert "thesis.txt" in one_line(capsys)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_an_empty_source(config_file: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty").mkdir()
    source = {"name": "folder", "options": {"root": str(tmp_path / "empty")}}
    assert main(["shards", config_file(source=source), "--out", str(tmp_path / "run")]) == 2
    assert "holds no pictures" in one_line(capsys)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_packaged_configs_build(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # found beside the installed packages, wherever one is
    config = load_config(str(path), LineConfig)
    step = path.stem.rpartition("_step")[2]
    if path.stem.startswith("miniworld_step"):
        assert config.corruption.start_step == int(step)
        default = load_config("configs/shards/miniworld.py", LineConfig)
        changed = {name for name in vars(config) if getattr(config, name) != getattr(default, name)}
        assert changed == {"corruption", "samples", "source"}
        assert (config.corruption.num_grid_steps, config.corruption.verification.policy) == (50, "keep")
        assert config.corruption.inversion == InversionConfig()
