"""The closed world: its plan, shared inversions against the line alone, table arithmetic, resume."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corruptor.line import shared as shared_lines
from corruptor.line.command import make_shards
from corruptor.line.shared import Kept, SharedWorker, open_lines
from detector.score.pairs import score_pairs
from detector.score.store import save_counts
from experiments.closed_world import __main__ as command
from experiments.closed_world import make as closed_world_make
from experiments.closed_world import plan as closed_world_plan
from experiments.closed_world.content import content_alone, content_of, matched_auroc
from experiments.closed_world.make import make_arms, runs_of
from experiments.closed_world.plan import (
    ARMS,
    LABELS,
    MADE,
    ORACLE,
    OURS,
    PSEUDO,
    RANDOM,
    TESTS,
    Chosen,
    Job,
    Plan,
    estimate,
    scaled,
)
from experiments.closed_world.report import as_markdown, load_cells, make_cell, write_results
from experiments.closed_world.train import ROW, job_folder, look, run_job
from miniworld.sets import SETS, SHIPPED
from miniworld.source import SPLIT
from miniworld.world.splits import SPLITS
from region_select.learned import LearnedOptions
from shards.build import build
from shards.check import check_run
from shards.errors import ConfigError, MissingInputError, ResumeError
from shards.files import make_folder, write_json
from shards.reader import ShardReader

sys.path.append(str(Path(__file__).parents[1] / "line"))
from line_tools import make_pipeline

QUICK = (
    "corruption.num_grid_steps=25",
    "corruption.injection.start_step=23",
    "corruption.inversion.warm_passes=[1]",
    "corruption.verification.threshold=0.0",
    "corruption.verification.policy='drop'",
    "samples.sources_per_shard=8",
    "compute.device='cpu'",
    "compute.batch_size=4",
)


SELECTOR = Chosen("weights", 0.25, 0.1)


def test_the_plan_holds_every_training_once_and_its_sources_serve_nothing_else():
    plan = Plan()
    jobs = plan.jobs()
    assert len(jobs) == len({job.name for job in jobs}) == 5 * 2 * 3
    assert {job.arm for job in jobs[:10]} == set(ARMS)
    assert plan.jobs((LABELS,))[0] == Job(LABELS, "swin_mini", 0)
    assert Job(OURS, "swin_mini", 2).name == "pseudo-labels-corruption-swin_mini-2"
    first = closed_world_plan.FIRST_SEED
    assert SPLIT.start <= first < first + plan.sources <= SPLIT.start + SPLIT.count
    assert "wild-train" not in SHIPPED
    assert SETS["wild-train"].count == plan.oracle <= SPLITS["wild-train"].count
    ranges = sorted((split.start, split.start + split.count) for split in SPLITS.values())
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))


def test_a_trial_is_smaller_and_the_full_run_takes_under_three_hours():
    plan = scaled(Plan(), 0.01)
    assert (plan.sources, plan.oracle, plan.iterations, plan.seeds, plan.test_limit) == (20, 20, 20, 1, 16)
    assert scaled(Plan(), 1.0) == Plan()
    assert 140 < sum(estimate(Plan(), 2).values()) < 180  # measured: docs/evidence/results.md
    assert sum(estimate(plan, 2).values()) < sum(estimate(Plan(), 2).values()) / 20
    for wrong in (0.0, 1.5):
        with pytest.raises(ConfigError, match="--scale"):
            scaled(plan, wrong)
    with pytest.raises(ConfigError, match="seeds is 0"):
        Plan(seeds=0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("closed") / "tiny")


def quick_plan(tiny: Path) -> Plan:
    return Plan(sources=16, oracle=16, overrides=(*QUICK, f"model.folder='{tiny}'"))


@pytest.fixture
def blobs_for_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs in place of the learned selector, which has tests of its own; another area tells the arms apart."""
    changes = closed_world_plan.line_changes

    def changed(arm: str, chosen: Chosen, fallback: str) -> dict[str, Any]:
        found = changes(arm, chosen, fallback)
        assert (found["region"]["policy"] == "learned") == (arm in (PSEUDO, OURS))
        if found["region"]["policy"] == "learned":
            build(LearnedOptions, found["region"]["options"])
            assert found["region"]["options"]["tau"] == 0.25
            found["region"] = {"policy": "blobs", "options": {"area": [0.2, 0.3]}}
        return found

    monkeypatch.setattr(closed_world_make, "line_changes", changed)


def test_arms_that_share_inversions_are_what_the_line_makes_alone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blobs_for_learned: None
):
    plan, inverted = quick_plan(tiny), []
    invert = shared_lines.invert_images

    def counted(backbone: Any, images: Any, prompts: Any, config: Any) -> Any:
        inverted.append(len(images))
        return invert(backbone, images, prompts, config)

    monkeypatch.setattr(shared_lines, "invert_images", counted)
    for rank in (1, 0):  # the second process to end closes the runs
        make_arms(plan, tmp_path / "shared", SELECTOR, rank, 2)
    assert sum(inverted) == plan.sources
    found = {arm: ShardReader(closed_world_make.arm_folder(tmp_path / "shared", arm)) for arm in MADE}
    for arm in (PSEUDO, RANDOM):
        config = closed_world_make.arm_config(plan, tmp_path, arm, SELECTOR)
        make_shards(config, tmp_path / "alone" / arm)
        alone, reader = ShardReader(tmp_path / "alone" / arm), found[arm]
        assert check_run(closed_world_make.arm_folder(tmp_path / "shared", arm)).ok
        assert [reader.key(i) for i in range(len(reader))] == [alone.key(i) for i in range(len(alone))]
        for i in range(len(alone)):
            np.testing.assert_array_equal(reader.mask(i), alone.mask(i))
            assert np.abs(reader.image(i).astype(int) - alone.image(i).astype(int)).max() <= 1
            assert reader.meta(i).corruption.nfe == alone.meta(i).corruption.nfe
    injected = {arm: [r.meta(i).corruption.injected for i in range(len(r))] for arm, r in found.items()}
    assert not any(injected[PSEUDO])
    assert any(injected[OURS])
    assert any(injected[RANDOM])
    # The same masks with and without corruption.
    masks = {found[PSEUDO].key(i): found[PSEUDO].mask(i) for i in range(len(found[PSEUDO]))}
    shared = [i for i in range(len(found[OURS])) if injected[OURS][i] and masks[found[OURS].key(i)].any()]
    assert shared
    for i in shared:
        np.testing.assert_array_equal(found[OURS].mask(i), masks[found[OURS].key(i)])


def test_what_is_done_is_not_made_again(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blobs_for_learned):
    plan = quick_plan(tiny)
    make_arms(plan, tmp_path, SELECTOR, 0, 2)  # half of the shards: as after a kill
    assert not json.loads((tmp_path / "shards" / "pseudo-labels" / "manifest.json").read_text()).get("totals")
    worked: list[int] = []
    work = SharedWorker.work
    monkeypatch.setattr(SharedWorker, "work", lambda self, batch: worked.append(batch.shard) or work(self, batch))
    make_arms(plan, tmp_path, SELECTOR, 0, 1)
    assert set(worked) == {1}
    assert all(json.loads(path.read_text())["totals"]["samples"] for path in command.manifests(tmp_path))


def test_arms_must_invert_alike(tiny: Path, tmp_path: Path, blobs_for_learned: None):
    lines = open_lines(runs_of(quick_plan(tiny), tmp_path, SELECTOR), Kept())
    assert [line.config.corruption.sham for line in lines] == [True, False, False]
    assert len({id(line.backbone) for line in lines}) == 1
    assert len({id(line.worker.kept) for line in lines}) == 1


def test_wild_pictures_as_sources_of_all_arms_come_without_their_labels(
    tiny: Path, tmp_path: Path, blobs_for_learned: None
):
    labelled = ShardReader("miniworld/sets/v1/validation")
    (tmp_path / "wild-train").symlink_to(Path("miniworld/sets/v1/validation").resolve())
    plan = dataclasses.replace(quick_plan(tiny), sources_from="wild")
    make_arms(plan, tmp_path, SELECTOR, 0, 1)
    for arm in MADE:
        reader = ShardReader(closed_world_make.arm_folder(tmp_path, arm))
        metas = [reader.meta(i) for i in range(len(reader))]
        known = {f"validation/00000.tar#{labelled.key(i)}": labelled.meta(i).source.caption for i in range(16)}
        assert metas
        assert {meta.source.uri: meta.source.caption for meta in metas}.items() <= known.items()
        assert {meta.region.policy for meta in metas} <= {"blobs", ""}
    with pytest.raises(ConfigError, match="17 sources from 16 wild pictures"):
        dataclasses.replace(plan, sources=17)
    with pytest.raises(ConfigError, match="choose renders or wild"):
        dataclasses.replace(plan, sources_from="tame")


def test_weights_are_chosen_by_what_the_threshold_is_chosen_by(tmp_path: Path):
    plan = Plan(sources=16, oracle=16, iterations=16, seeds=1, backbones=("swin_mini",), test_limit=16)
    job = Job(LABELS, "swin_mini", 0)
    row = run_job(plan, tmp_path, job)
    log = [json.loads(line) for line in (job_folder(tmp_path, job) / "train" / "log.jsonl").read_text().splitlines()]
    seen = {line["iteration"]: line["val/best_artifact_iou"] for line in log if "val/best_artifact_iou" in line}
    assert list(seen) == [4, 8, 12, 16]
    assert seen[row["chosen_iteration"]] == max(seen.values())
    # In training as in the scorer: the same pixels, the same weights, the threshold free.
    assert row["validation"]["oracle_threshold_iou"] == pytest.approx(max(seen.values()), abs=2e-3)
    assert set(row["tests"]) == set(TESTS)


def fake_row(plan: Plan, out: Path, job: Job, strength: float) -> None:
    """Counts of a detector that says 0.9 inside a share `strength` of the truth, and a row."""
    rng = np.random.default_rng(0)
    folder = job_folder(out, job)
    for test in TESTS:
        pairs = []
        for k in range(12):
            truth = np.zeros((8, 8), np.uint8)
            truth[2:6, 2:6] = test != "clean-test"
            heat = np.where(truth == 1, 0.9, 0.1).astype(np.float32)
            heat[rng.random((8, 8)) > strength] = 0.1
            pairs.append((f"k{k:02d}", truth, heat))
        make_folder(folder / test)
        save_counts(folder / test, [score_pairs(pairs, 0.2 + 0.1 * job.seed)])
    told = {"arm": job.arm, "backbone": job.backbone, "seed": job.seed, "trained_on": {"artifact": 3, "clean": 1}}
    write_json(folder / ROW, told)


def test_means_intervals_and_paired_differences(tmp_path: Path):
    plan = Plan(seeds=2, backbones=("swin_mini",), sources=16)
    strengths = {LABELS: 0.5, PSEUDO: 0.2, OURS: 0.8, RANDOM: 0.8, ORACLE: 1.0}
    for job in plan.jobs():
        fake_row(plan, tmp_path, job, strengths[job.arm])
    results = write_results(plan, tmp_path, {"a": 60.0}, load_cells(plan, tmp_path, 200))
    assert json.loads((tmp_path / "results.json").read_text())["trainings"] == len(results["rows"]) == 10
    best = next(m for m in results["means"] if (m["arm"], m["test"]) == (ORACLE, "wild-test"))["metrics"]
    assert best["artifact_iou"]["value"] == best["artifact_iou"]["low"] == 1.0
    assert best["artifact_iou"]["per_seed"] == (1.0, 1.0)  # at thresholds of their own
    assert best["fpr_clean"]["value"] is None
    lead, tie = (
        next(
            d["metrics"]["artifact_iou"]
            for d in results["differences"]
            if (d["first"], d["second"], d["test"]) == (OURS, other, "wild-test")
        )
        for other in (PSEUDO, RANDOM)
    )
    assert 0.45 < lead["value"] < 0.75
    assert 0 < lead["low"] < lead["value"] < lead["high"]
    assert tie["low"] == tie["value"] == tie["high"] == 0.0  # the same predictions in every resample
    text = as_markdown(results)
    words = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if " vs " in line]
    shown = {row[1]: row[2] for row in words[: len(words) // 2]}  # wild: artifact IoU
    assert shown["pseudo labels + corruption vs pseudo labels"] == "higher"
    assert shown["pseudo labels + corruption vs random masks + corruption"] == "same"
    assert max(map(len, text.splitlines())) <= 160  # fits a page
    assert "| 3 / 1 " in text


def test_content_is_what_the_caption_names():
    caption = (
        "red sign with CAFE at top, calm face with tan skin and bun red hair at middle, blue sign with STOP at left"
    )
    assert content_of(caption) == "face sign sign"
    assert content_of("black sign with BUS at top, pink sky, navy ground") == "sign"  # a word on it is no thing
    assert content_of("blue sky, sand ground") == content_of("carpet, business, facets") == ""


def test_auroc_among_pictures_of_the_same_content_by_hand():
    # Signs: broken .9 and .4, whole .5: one pair of two. Faces: broken .2, whole .2: half a pair of one. Cars: no pair.
    content = ["sign", "sign", "sign", "face", "face", "car"]
    score = np.array([0.9, 0.4, 0.5, 0.2, 0.2, 0.8])
    broken = np.array([True, True, False, True, False, True])
    once, no_signs, no_pairs = np.ones(6), np.array([0.0, 0, 0, 2, 3, 1]), np.array([1.0, 1, 0, 1, 0, 1])
    first_sign_twice = np.array([2.0, 1, 1, 0, 0, 0])
    found = matched_auroc(np.stack([once, no_signs, no_pairs, first_sign_twice]), score, broken, content)
    np.testing.assert_allclose(found, [1.5 / 3, 0.5, np.nan, 2 / 3])
    one_content = matched_auroc(np.ones((1, 6)), score, broken, ["x"] * 6)
    assert one_content[0] == pytest.approx((2 + 1 + 0.5 + 2) / 8)  # the plain AUROC


def test_auroc_of_the_content_alone_by_hand():
    learned = {"a": ("sign", True), "b": ("sign", True), "c": ("face", True), "d": ("face", False), "e": ("car", False)}
    told = {"k": ("sign", True), "l": ("face", False), "m": ("car", True), "n": ("hand", True)}  # 1, 1/2, 0, 3/5
    assert content_alone(learned, told) == pytest.approx(2 / 3)


def test_the_same_content_is_drawn_as_everything_else():
    rng = np.random.default_rng(3)
    pairs = []
    for k in range(10):
        truth = np.zeros((4, 4), np.uint8)
        truth[1:3, 1:3] = k % 2
        pairs.append((f"k{k}", truth, rng.random((4, 4)).astype(np.float32)))
    counts = [score_pairs(pairs, 0.5)]
    alike = make_cell(counts, 50, {f"k{k}": ("sign", k % 2 == 1) for k in range(10)})
    assert alike.points["image_auroc_matched"] == alike.points["image_auroc_max"]  # one content: the plain AUROC
    np.testing.assert_allclose(alike.drawn["image_auroc_matched"], alike.drawn["image_auroc_max"])
    apart = make_cell(counts, 50, {f"k{k}": ("sign" if k % 2 else "face", k % 2 == 1) for k in range(10)})
    assert apart.estimate("image_auroc_matched").value is None  # every sign is broken, and no face
    unknown = make_cell(counts, 50)
    assert unknown.estimate("image_auroc_matched").value is None
    assert unknown.estimate("image_auroc_max").low is not None


def test_a_table_of_some_arms(tmp_path: Path):
    plan = Plan(seeds=1, backbones=("swin_mini",), sources=16)
    fake_row(plan, tmp_path, Job(LABELS, "swin_mini", 0), 0.5)
    results = write_results(plan, tmp_path, {}, load_cells(plan, tmp_path, 20))
    assert {one["arm"] for one in results["means"]} == {LABELS}
    assert results["differences"] == []
    assert "100 labels" in as_markdown(results)


def test_another_plan_in_the_same_folder_is_refused(tmp_path: Path):
    command.claim(Plan(), tmp_path / "run")
    command.claim(Plan(), tmp_path / "run")
    with pytest.raises(ResumeError, match="iterations: 1500 there, 601 now"):
        command.claim(dataclasses.replace(Plan(), iterations=601), tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(ResumeError, match="holds other files"):
        command.claim(Plan(), tmp_path / "other")


def test_sets_that_are_not_there_are_named_at_once(tmp_path: Path):
    with pytest.raises(MissingInputError, match="lacks select, validation, wild-test"):
        command.run(command.arguments(["--out", str(tmp_path / "run"), "--sets", str(tmp_path)]))
    assert not (tmp_path / "run").exists()


def test_the_table_goes_between_the_marks():
    page = f"# Results\n\n{command.BEGIN}\nold\n{command.END}\nafter\n"
    new = command.between(page, "new")
    assert new == f"# Results\n\n{command.BEGIN}\n\nnew\n{command.END}\nafter\n"
    assert command.between(new, "new") == new
    with pytest.raises(ConfigError, match="has no line"):
        command.between("# Results", "new")
    docs = Path(__file__).parents[2] / "docs" / "evidence" / "results.md"
    assert command.between(docs.read_text(encoding="utf-8"), "new")


def test_looking_stops_at_the_limit(tmp_path: Path, tiny: Path, blobs_for_learned: None):
    class Half:
        def heat(self, images: Any) -> list[Any]:
            return [np.full(image.shape[:2], 0.5, np.float32) for image in images]

    make_arms(quick_plan(tiny), tmp_path, SELECTOR, 0, 1)
    folder = str(closed_world_make.arm_folder(tmp_path, PSEUDO))
    counts = look(Half(), folder, 0.5, 5)  # type: ignore[arg-type]
    assert len(counts.keys) == 5
    assert (counts.predicted == counts.valid).all()
    assert len(look(Half(), folder, 0.6, 0).keys) == len(ShardReader(folder))  # type: ignore[arg-type]
