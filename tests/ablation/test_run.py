"""A grid from its claim to its page, with real networks at tiny size: shared stages, resume, failures, outputs."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from ablation_tools import SHAM, grid_of, grid_values, make_pipeline, write_grid

import ablation.train
import ablation.work
from ablation.__main__ import main
from ablation.cells import load_cell
from ablation.plan import make_plan
from ablation.run import STAGES, claim
from ablation.stages import is_done, read_done
from ablation.train import test_folder as folder_of_test
from ablation.work import Task, line_config
from corruptor.line import shared as shared_lines
from detector.score.metrics import METRICS
from shards.check import check_run
from shards.errors import ConfigError, ResumeError
from shards.reader import ShardReader

ARMS = [
    {"name": "masks", "set": SHAM, "value": 1.0, "series": "line"},
    {"name": "corrupted", "value": 2.0, "series": "line"},
    {"name": "longer", "iterations": 6},
    {"name": "labels", "shards": "labels"},
    {"name": "selected", "selector": "labels", "set": ["region.options.fallback='hottest'"]},
    {"name": "twins", "twins": True, "samples": 5},
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("ablation") / "tiny")


@dataclasses.dataclass
class Finished:
    """A grid that was run once, and what was counted meanwhile."""

    grid: Path
    out: Path
    inverted: int
    trained: int
    code: int
    decoded: int


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    grid = write_grid(folder / "grid.py", grid_values(tiny, arms=ARMS, axis="way"))
    inverted: list[int] = []
    trained: list[Any] = []
    decoded: list[tuple[Path, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        invert, train = shared_lines.invert_images, ablation.train.train
        patch.setattr(
            shared_lines,
            "invert_images",
            lambda b, images, *rest: inverted.append(len(images)) or invert(b, images, *rest),
        )
        patch.setattr(ablation.train, "train", lambda job: trained.append(job) or train(job))
        decode = ShardReader.mask
        patch.setattr(
            ShardReader, "mask", lambda self, i: decoded.append((self.path(i), self.key(i))) or decode(self, i)
        )
        code = main([str(grid), "--out", str(folder / "out"), "--processes", "1"])
    return Finished(grid, folder / "out", sum(inverted), len(trained), code, decoded_twice(decoded))


def decoded_twice(seen: list[tuple[Path, str]]) -> int:
    """How often a mask of the test sets was decoded when it had been before."""
    tests = [one for one in seen if "wild-test" in str(one[0]) or "clean-test" in str(one[0])]
    assert tests
    return len(tests) - len(set(tests))


def plan_of(finished: Finished) -> Any:
    from ablation.grid import load_grid

    return make_plan(load_grid(finished.grid))


def test_what_arms_have_in_common_is_made_once(finished: Finished):
    assert finished.code == 0
    assert finished.inverted == 16  # for the runs of masks, corrupted and selected alike
    assert finished.trained == len(ARMS)
    assert finished.decoded == 0
    assert not (finished.out / "decoded").exists()
    plan = plan_of(finished)
    runs = [stage for stage in plan.stages.values() if stage.kind == "shards"]
    assert len(runs) == 3
    assert all(check_run(finished.out / STAGES / stage.name / "run").ok for stage in runs)
    assert len({plan.data[name].identity for name in ("corrupted", "longer")}) == 1


def test_a_row_for_each_arm_and_test(finished: Finished):
    with (finished.out / "rows.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(ARMS) * 2
    assert {metric.key for metric in METRICS} | {"image_auroc_matched"} <= set(rows[0])
    few = next(row for row in rows if (row["arm"], row["test"]) == ("twins", "wild"))
    assert (few["trained_artifact"], few["trained_clean"], few["images"]) == ("3", "2", "12")
    assert few["seed"] == "0"
    assert {row["iterations"] for row in rows if row["arm"] == "longer"} == {"6"}
    told = json.loads((finished.out / "rows.json").read_text())
    assert [row["arm"] for row in told["rows"]] == [row["arm"] for row in rows]
    assert told["samples"]["corrupted"]["artifact"] == 16
    assert told["samples"]["corrupted"]["inside"]["mean"] > 0
    assert told["failed"] == {}
    (same,) = [one for one in told["differences"] if one["test"] == "wild"]
    assert (same["first"], same["second"]) == ("corrupted", "masks")


def test_the_report_and_the_page(finished: Finished):
    text = (finished.out / "report.md").read_text(encoding="utf-8")
    assert "- corrupted, against masks (probe): on wild, " in text
    assert "| selected " in text
    assert max(map(len, text.splitlines())) <= 160
    for name in re.findall(r"\]\((\S+?)\)", text):
        assert (finished.out / name).stat().st_size > 1000
    page = (finished.out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == text.count("](plots/") + text.count("](strip.png)") == 4
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    assert "://" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert 'name="viewport"' in page


def test_the_selector_is_the_detector_of_its_labels(finished: Finished):
    plan = plan_of(finished)
    stage = plan.stages[plan.data["selected"].stage]
    config = line_config(stage, finished.out / STAGES)
    (job,) = [job for job in plan.jobs if job.arm == "labels"]
    options = config.region.options
    assert options["tau"] == read_done(finished.out / STAGES, job.stage)["threshold"]
    assert options["weights"] == str(finished.out / STAGES / job.stage / "train" / "weights.safetensors")
    labels = ShardReader("miniworld/sets/v1/select")
    areas = [(labels.mask(i) == 1).mean() for i in range(len(labels))]
    assert options["fallback_area"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert {ShardReader(finished.out / STAGES / stage.name / "run").meta(0).region.policy} == {"learned"}


def test_twins_are_clean_samples_after_their_own(finished: Finished):
    plan = plan_of(finished)
    reader = ShardReader(plan.data["twins"].folder(finished.out / STAGES))
    assert [reader.meta(i).label for i in range(len(reader))] == ["artifact", "clean"] * 16
    np.testing.assert_array_equal(reader.image(1), reader.source(0))
    assert not reader.mask(1).any()
    assert reader.meta(1).corruption.method == "none"


def test_the_threshold_is_chosen_on_the_validation_set(finished: Finished):
    plan = plan_of(finished)
    job = next(job for job in plan.jobs if job.arm == "longer")
    told = read_done(finished.out / STAGES, job.stage)
    log = (finished.out / STAGES / job.stage / "train" / "log.jsonl").read_text().splitlines()
    seen = {
        line["iteration"]: line["val/best_artifact_iou"]
        for line in map(json.loads, log)
        if "val/best_artifact_iou" in line
    }
    assert seen[told["chosen_iteration"]] == max(seen.values())
    assert told["validation"]["oracle_threshold_iou"] == pytest.approx(max(seen.values()), abs=2e-3)
    cell = load_cell([folder_of_test(finished.out / STAGES / job.stage, plan.tests[0])], 20)
    assert cell.images == (12, 9, 3)
    assert cell.drawn["pixel_ap"].shape == (20,)


def test_the_same_command_again_makes_nothing(finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    def never(*_: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(ablation.run, "perform", never)
    before = (finished.out / "rows.csv").read_bytes()
    assert main([str(finished.grid), "--out", str(finished.out), "--processes", "1"]) == 0
    assert (finished.out / "rows.csv").read_bytes() == before
    assert "10 of 10 stages were done before" in capsys.readouterr().out


def test_another_grid_in_the_same_folder_is_refused(finished: Finished, tiny: Path, tmp_path: Path, capsys: Any):
    other = write_grid(tmp_path / "grid.py", grid_values(tiny, arms=ARMS, axis="way", iterations=5))
    before = sorted(finished.out.rglob("*"))
    assert main([str(other), "--out", str(finished.out)]) == 2
    assert "holds another grid (iterations: 4 there, 5 now)" in capsys.readouterr().err
    assert sorted(finished.out.rglob("*")) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(ResumeError, match="holds other files"), claim(grid_of(tiny), tmp_path / "full").held():
        pass
    first, again = (claim(grid_of(tiny), tmp_path / "new") for _ in range(2))
    with first.held(), pytest.raises(ResumeError, match="another grid is at work there"), again.held():
        pass


def test_a_kill_between_stages(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arms = [{"name": "corrupted"}, {"name": "labels", "shards": "labels"}]
    grid = write_grid(tmp_path / "grid.py", grid_values(tiny, arms=arms, compare=[]))
    words = [str(grid), "--out", str(tmp_path / "out"), "--processes", "1"]
    begun: list[tuple[str, ...]] = []
    perform = ablation.run.perform

    def killed(task: Task, plan: Any, stages: Path) -> None:
        if len(begun) == 2:
            raise KeyboardInterrupt
        begun.append(task.stages)
        perform(task, plan, stages)

    monkeypatch.setattr(ablation.run, "perform", killed)
    assert main(words) == 130
    assert not (tmp_path / "out" / "report.md").exists()
    assert all(is_done(tmp_path / "out" / STAGES, name) for names in begun for name in names)
    first = list(begun)
    monkeypatch.setattr(
        ablation.run, "perform", lambda task, plan, stages: begun.append(task.stages) or perform(task, plan, stages)
    )
    assert main(words) == 0
    assert len(begun) == 3
    assert not set(first) & set(begun[2:])


def test_an_arm_that_fails_costs_only_itself(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    arms = [
        {"name": "good"},
        {"name": "broken", "set": ["corruption.num_grid_steps=7"]},
        {"name": "of broken", "selector": "broken"},
        {"name": "greedy", "samples": 1000},
        {"name": "empty", "set": ["region.options.area=[0.05, 0.06]", "corruption.verification.threshold=255.0"]},
    ]
    grid = write_grid(tmp_path / "grid.py", grid_values(tiny, arms=arms, compare=[["good", "broken"]]))
    words = [str(grid), "--out", str(tmp_path / "out"), "--processes", "1"]
    make_runs = shared_lines.make_runs

    def failing(runs: Any, *rest: Any) -> None:
        if any(config.corruption.num_grid_steps == 7 for config, _ in runs):
            raise ConfigError("seven is too few")
        make_runs(runs, *rest)

    monkeypatch.setattr(shared_lines, "make_runs", failing)
    assert main(words) == 1
    told = json.loads((tmp_path / "out" / "rows.json").read_text())
    assert {row["arm"] for row in told["rows"]} == {"good"}
    assert told["failed"]["broken"] == "broken: seven is too few"
    assert told["failed"]["of broken"] == "broken: seven is too few"
    assert "1000 samples are asked for" in told["failed"]["greedy"]
    assert told["failed"]["empty"] == "its run made no sample; rejected: below_threshold 16; change the arm"
    said = capsys.readouterr().out
    assert "together they fail (seven is too few); now one by one" in said
    assert "- good, against broken (probe): not compared, a training is missing." in said
    monkeypatch.setattr(shared_lines, "make_runs", make_runs)
    assert main(words) == 1  # tried again, the mended ones come in
    told = json.loads((tmp_path / "out" / "rows.json").read_text())
    assert {"good", "broken"} <= {row["arm"] for row in told["rows"]}
