"""Plans: what is shared, what a stage is named by, what it costs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from ablation_tools import SETS, SHAM, grid_of

from ablation import cost as ablation_cost
from ablation.__main__ import main
from ablation.cost import CORE_TFLOPS, Cost, Machine, Pricer, check_disk, total
from ablation.digests import named_files
from ablation.plan import SELECTED, Plan, make_plan
from ablation.stages import LineWork, TrainWork
from ablation.work import tasks_of, together
from corruptor.line.cards import GPUS
from shards.errors import MissingInputError, OutputError

EMBEDDED = Path("miniworld/weights")
CORE = Machine("one core", 1)


def plan_of(**changes: object) -> Plan:
    return make_plan(grid_of(EMBEDDED, **changes))


def kinds(plan: Plan) -> list[str]:
    return [stage.kind for stage in plan.stages.values()]


def test_equal_stages_are_one():
    plan = plan_of(
        arms=[
            {"name": "a"},
            {"name": "b", "iterations": 8},
            {"name": "c", "detector": ["optim_wrapper.optimizer.lr=0.1"]},
            {"name": "d", "samples": 5},
            {"name": "e", "set": ["title='other'", "workers.num_readers=1"], "iterations": 9},
            {"name": "f", "set": ["corruption.num_grid_steps=9"]},
        ],
        compare=[],
        seeds=[0, 1],
        backbones=["probe", "swin_mini"],
    )
    assert kinds(plan).count("shards") == 2  # what changes no byte of a run makes no other run
    assert kinds(plan).count("train") == len(plan.jobs) == 6 * 2 * 2
    assert len({plan.data[name].stage for name in "abcde"}) == 1
    assert plan.data["f"].stage != plan.data["a"].stage
    assert [job.seed for job in plan.jobs] == [0] * 12 + [1] * 12


def test_a_name_holds_what_files_hold(tmp_path: Path):
    shutil.copytree(f"{SETS}/select", tmp_path / "labels")
    arms = [{"name": "a", "shards": str(tmp_path / "labels")}]

    def name() -> str:
        return plan_of(arms=arms, compare=[]).jobs[0].stage

    before = name()
    shutil.move(tmp_path / "labels", tmp_path / "moved")
    arms[0]["shards"] = str(tmp_path / "moved")
    assert name() == before  # where it lies makes no difference
    manifest = tmp_path / "moved" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed', '"sead', 1) + " ")
    assert name() != before
    manifest.write_text("{}")
    with pytest.raises(MissingInputError, match="is a run that is not complete"):
        name()


def test_weights_in_a_config_are_hashed(tmp_path: Path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"a")
    values = {"region": {"options": {"parts": [{"weights": str(weights)}]}}, "model": {"folder": "owner/name"}}
    (found,) = named_files(values).items()
    assert found[0] == "region.options.parts[0].weights"
    weights.write_bytes(b"b")
    assert named_files(values) != dict([found])
    assert named_files({"name": "shards", "folder": "miniworld/weights"}).keys() == {"folder"}


def test_a_selector_is_a_training_that_other_arms_share():
    arms = [
        {"name": "a", "selector": "labels", "set": ["region.options.tau=0.3"]},
        {"name": "b", "selector": "hundred"},
        {"name": "hundred", "shards": "labels"},
    ]
    plan = plan_of(arms=arms, compare=[], seeds=[3, 4])
    learned, selected = plan.data["a"].stage, plan.data["b"].stage
    (job,) = [job for job in plan.jobs if (job.arm, job.seed) == ("hundred", 3)]
    assert plan.stages[learned].needs == plan.stages[selected].needs == (job.stage,)
    names = list(plan.stages)
    assert names.index(job.stage) < names.index(learned)
    work = plan.stages[learned].work
    assert isinstance(work, LineWork)
    region = work.values["region"]
    assert (region["policy"], region["options"]["tau"]) == ("learned", 0.3)
    assert region["options"]["weights"] == region["options"]["fallback_area"] == SELECTED
    assert kinds(plan).count("train") == len(plan.jobs) == 6
    first = tasks_of(plan, Path("nowhere"), 2)[0]
    assert first.stages == (job.stage,)  # what others wait for


def test_made_sets_relabelled_samples_and_sources():
    arms = [
        {"name": "oracle", "shards": "wild"},
        {"name": "of wild", "sources": "wild", "set": ["source.options.label='clean'"]},
        {"name": "relabelled", "relabel": "oracle"},
        {"name": "twins", "twins": True},
        {"name": "both", "relabel": "oracle", "twins": True},
    ]
    plan = plan_of(arms=arms, compare=[], made={"wild": {"count": 30}})
    assert sorted(kinds(plan)) == sorted(["made", *["derived"] * 3, *["shards"] * 2, *["train"] * 5])
    (made,) = [stage for stage in plan.stages.values() if stage.kind == "made"]
    assert made.work.made.steps == 30  # as the shipped sets were sampled
    assert plan.stages[plan.data["of wild"].stage].needs == (made.name,)
    assert plan.made_by_line("both") is plan.made_by_line("twins")
    assert plan.made_by_line("oracle") is None


def test_runs_over_the_same_pictures_are_made_together():
    arms = [
        {"name": "a"},
        {"name": "b", "set": SHAM},
        {"name": "c", "set": ["source.options.count=8"]},
        {"name": "d", "set": ["seed=9"]},
    ]
    plan = plan_of(arms=arms, compare=[])
    keys = [together(plan.stages[plan.data[name].stage]) for name in "abcd"]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    groups = [task for task in tasks_of(plan, Path("nowhere"), 3) if len(task.stages) == 2]
    assert [task.rank for task in groups] == [0, 1, 2]


def test_a_run_waits_for_the_run_that_its_selector_learned_from():
    arms = [{"name": "a"}, {"name": "b", "selector": "a"}, {"name": "c", "selector": "b"}, {"name": "d", "set": SHAM}]
    plan = plan_of(arms=arms, compare=[])
    runs = [task.stages for task in tasks_of(plan, Path("nowhere"), 1) if task.stages[0].startswith("shards")]
    names = [tuple(plan.stages[name].title for name in stages) for stages in runs]
    assert sorted(names) == [("a", "d"), ("b",), ("c",)]


def test_cost_by_hand():
    plan = plan_of(arms=[{"name": "masks", "set": SHAM}, {"name": "corrupted"}], iterations=100, limit=10)
    masks, corrupted = (plan.data[name].stage for name in ("masks", "corrupted"))
    found = Pricer(plan, CORE).price()
    # 16 pictures of 64 x 64, 1/64 of 512 x 512: 8 passes there, 8 back; encoded once, decoded twice.
    assert (found[masks].pictures, found[masks].passes) == (16, 16 * 16)
    tflop = 16 * (16 * 0.073139748864 + 0.03611295744 + 2 * 0.100405346304) / 64
    assert found[masks].tflop == pytest.approx(tflop)
    assert found[masks].seconds == pytest.approx(tflop / CORE_TFLOPS + 16 * 0.05)
    assert found[corrupted].passes == 16 * 8  # inverted with the first
    (training,) = {found[job.stage] for job in plan.jobs}
    # 100 iterations of 16, forward and back; looks of 10 pictures: twice while training, once after, two tests.
    config = plan.stages[plan.jobs[0].stage].work
    assert isinstance(config, TrainWork)
    assert training.trainings == 1
    assert training.tflop == pytest.approx(100 * 16 * 3 * 0.000138 + (100 // 50 + 1 + 2) * 10 * 0.000138)
    assert total(found.values()).trainings == 2
    card = Pricer(plan, Machine("H100", 1, GPUS["h100"])).price()
    assert card[masks].tflop == found[masks].tflop
    assert card[masks].seconds < found[masks].seconds / 1000


def test_what_differs_after_the_decoder_is_resampled_once():
    twice = "corruption.ladder={'floor': 0, 'last': ['duplicate'], 'last_steps': [6]}"
    arms = [
        {"name": "once"},
        {"name": "keep", "set": ["corruption.verification.policy='keep'"]},
        {"name": "pasted", "set": ["corruption.paste_back=True"]},
        {"name": "elsewhere", "set": ["region.options.max_blobs=2"]},
        {"name": "cleaner", "set": ["samples.clean_share=0.5"]},
        {"name": "sham", "set": SHAM},
        {"name": "again", "set": [twice]},
        {"name": "again, kept", "set": [twice, "corruption.verification.policy='keep'"]},
    ]
    plan = plan_of(arms=arms, line="configs/shards/miniworld_once.py", compare=[])
    found = Pricer(plan, CORE).price()
    passes = {arm["name"]: found[plan.data[str(arm["name"])].stage].passes / 16 for arm in arms}
    assert passes["once"] == 16  # 8 there, 8 back
    assert (passes["keep"], passes["pasted"]) == (0, 0)
    assert (passes["elsewhere"], passes["cleaner"], passes["sham"]) == (8, 8, 8)
    assert passes["again"] == passes["again, kept"] == 8 + 2  # the last try begins at step 6


def test_a_disk_that_does_not_hold_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Usage:
        free = 50_000_000

    monkeypatch.setattr(ablation_cost.shutil, "disk_usage", lambda path: Usage)
    check_disk(2_000_000, tmp_path / "new")
    with pytest.raises(OutputError, match=r"needs up to 0\.06 GB, 0\.05 GB are free"):
        check_disk(20_000_000, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_dry_run_of_what_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["configs/ablation/timesteps_sd15_richhf.py", "--out", str(tmp_path / "out"), "--dry-run", "--gpu", "h100"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "9 arms, 18 trainings in the table" in told
    assert "runs of the line: 8; 61,608 pictures" in told
    assert "on one H100 SXM, reckoned, not measured" in told
    assert "NOT READY: validation: out/richhf/dev holds no shards" in told
    assert not (tmp_path / "out").exists()


def test_costs_add_up():
    assert Cost(1, 2, 3.0, 4, 5.0, 6) + Cost(1, 1, 1.0, 1, 1.0, 1) == Cost(2, 3, 4.0, 5, 6.0, 7)
