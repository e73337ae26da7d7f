"""Grids: what is refused, in one line, and what a trial makes smaller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))
from ablation_tools import SETS, SHAM, grid_of, grid_values, write_grid

from ablation.__main__ import main
from ablation.grid import load_grid
from ablation.plan import make_plan
from ablation.scale import scaled
from shards.errors import ConfigError, UserError

HERE = Path("pipeline")
GRIDS = sorted(path for path in Path("configs/ablation").glob("*.py") if not path.name.startswith("_"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": [{"name": "a", "iteratoins": 3}]}, "unknown key 'arms[0].iteratoins'; did you mean 'iterations'?"),
        ({"backbone": ["probe"]}, "unknown key 'backbone'; did you mean 'backbones'?"),
        ({"arms": []}, "arms is empty"),
        ({"seeds": [0, 1, 0]}, "0 stands twice in seeds"),
        ({"arms": [{"name": "a"}, {"name": "a", "set": SHAM}]}, "'a' stands twice in names of arms"),
        ({"compare": [["corrupted", "mask"]]}, "the arm 'mask', which is not there; did you mean 'masks'?"),
        ({"gaps": [["corrupted", "masks", "oracl"]]}, "gaps names the arm 'oracl', which is not there"),
        ({"metrics": ["pixel_app"]}, "did you mean 'pixel_ap'?"),
        ({"arms": [{"name": "a", "shards": "labels", "set": SHAM}], "compare": []}, "leave out set"),
        ({"arms": [{"name": "a", "shards": "labels", "shams": True}], "compare": []}, "leave out shams"),
        ({"arms": [{"name": "a", "dropped": "drop"}], "compare": []}, "arms[0].dropped"),
        ({"made": {"labels": {"count": 3}}}, "'labels' is in sets and in made"),
        ({"made": {"wild": {"count": 0}}}, "count of 1 or more"),
        ({"tests": {}}, "tests is empty"),
    ],
)
def test_a_grid_that_cannot_be(changes: dict[str, Any], said: str):
    with pytest.raises(ConfigError) as found:
        grid_of(HERE, **changes)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": [{"name": "a"}, {"name": "b", "value": 3}], "compare": []}, "arms 'a' and 'b' are the same config"),
        ({"tests": {"wild": "no/such/set"}}, "test set 'wild': no/such/set holds no shards"),
        ({"validation": "no/such/set"}, "validation: no/such/set holds no shards"),
        (
            {"arms": [{"name": "a", "shards": "label"}]},
            "neither a set of this grid nor a folder; did you mean 'labels'?",
        ),
        ({"arms": [{"name": "a", "set": ["corruption.stepp=3"]}]}, "arm 'a': unknown key 'corruption.stepp'"),
        ({"arms": [{"name": "a", "set": ["region.policy='blops'"]}]}, "unknown region policy 'blops'"),
        ({"arms": [{"name": "a", "set": ["region.options.aera=3"]}]}, "region.options.aera"),
        ({"arms": [{"name": "a", "detector": ["train_cfg.max_itres=3"]}]}, "did you mean 'max_iters'?"),
        ({"backbones": ["probes"]}, "configs/detector/probes.py does not exist"),
        ({"arms": [{"name": "a", "selector": "a"}]}, "arm 'a' takes its regions from itself"),
        ({"arms": [{"name": "a", "shards": "w"}], "made": {"w": {"count": 3, "set": "clean-test"}}}, "'clean-test'"),
        ({"arms": [{"name": "a", "shards": "w"}], "made": {"w": {"count": 10**6}}}, "has seeds for 10000"),
    ],
)
def test_a_plan_that_cannot_be(changes: dict[str, Any], said: str):
    changes.setdefault("compare", [])
    with pytest.raises(UserError) as found:
        make_plan(grid_of(HERE, **changes))
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid = write_grid(tmp_path / "grid.py", grid_values(HERE, tests={"wild": "no/such/set"}))
    out = tmp_path / "out"
    for words, said in (
        ([str(grid)], "no/such/set"),
        ([str(grid), "--scale", "2"], "--scale is 2.0"),
        ([str(grid), "--set", "seeds=[1, 1]"], "1 stands twice"),
        ([str(grid), "--dry-run", "--gpu", "h10"], "did you mean 'h100'?"),
        ([str(grid), "--processes", "-1"], "--processes is -1"),
        ([str(grid), "--docs", str(tmp_path / "page.md")], "page.md does not exist"),
        ([str(tmp_path / "no.py")], "no.py does not exist"),
    ):
        assert main([*words, "--out", str(out)]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert said in told
        assert told.count("\n") == 1
    assert not out.exists()


def test_sources_are_opened_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number, (change, said) in enumerate(
        (
            ("source.options.cuont=3", "arm 'a': "),
            ("source={'name': 'folder', 'options': {'root': 'no/where'}}", "no/where"),
        )
    ):
        values = grid_values(Path("miniworld/weights"), arms=[{"name": "a", "set": [change]}], compare=[])
        grid = write_grid(tmp_path / f"grid{number}.py", values)
        assert main([str(grid), "--out", str(tmp_path / "out")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_trial_is_smaller(tmp_path: Path):
    grid = grid_of(
        HERE,
        seeds=[4, 5, 6],
        iterations=1000,
        limit=0,
        made={"wild": {"count": 500}},
        set=["source.options.count=3000", "seed=3000"],
        arms=[{"name": "a", "samples": 400, "set": ["source.options.limit=90"]}, {"name": "b", "iterations": 100}],
        compare=[],
    )
    trial = scaled(grid, 0.1)
    assert (trial.seeds, trial.iterations, trial.limit, trial.made["wild"].count) == ((4,), 100, 100, 50)
    assert trial.set == ("source.options.count=300", "seed=3000")
    assert [(arm.samples, arm.iterations, arm.set) for arm in trial.arms] == [
        (40, 0, ("source.options.limit=16",)),
        (0, 16, ()),
    ]
    assert scaled(grid, 1.0) is grid
    for wrong in (0.0, 1.5):
        with pytest.raises(ConfigError, match="--scale"):
            scaled(grid, wrong)


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_grid_has_a_plan(path: Path):
    grid = load_grid(path)
    plan = make_plan(grid, lenient=True)
    assert len(plan.jobs) == len(grid.arms) * len(grid.backbones) * len(grid.seeds)
    is_embedded = grid.validation.startswith(SETS)
    assert bool(plan.missing) != is_embedded
    assert all(stage.needs == () or set(stage.needs) <= set(plan.stages) for stage in plan.stages.values())


def test_the_grids_of_the_contract_are_there():
    kinds = {"timesteps", "methods", "resampling", "inversion"}
    names = {path.stem for path in GRIDS}
    assert kinds | {f"{kind}_sd15_richhf" for kind in kinds} <= names
    assert {"quick", "timesteps_miniworld", "labels", "regions", "size", "sources", "negatives"} <= names
    assert {"appearance", "closed_world"} <= names
    steps = [arm.value for arm in load_grid("configs/ablation/timesteps.py").arms if arm.value is not None]
    assert steps == [45, 40, 35, 30, 20, 10, 0]
    embedded, real = (load_grid(f"configs/ablation/timesteps{name}.py") for name in ("", "_sd15_richhf"))
    assert embedded.arms == real.arms
