"""The leak check: counts solved by hand, leaks planted and told from a mere prior, runs in the wrong place, resume."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from red_squares import TINY_SWIN, picture

from detector.errors import DataError
from detector.score.bootstrap import Interval
from leakcheck.__main__ import main
from leakcheck.check import Options, leakcheck, open_making, open_makings
from leakcheck.statistics import Finding, as_markdown, by_mask, conclusion, count, judge, pixel_aurocs
from shards.schema import CorruptionMeta, RegionMeta, make_key
from shards.work_status import work_status_of
from shards.writer import RunInfo, RunWriter

FLAT = Interval(0.5, 0.49, 0.51)


def write_run(out: Path, first: int, *, sham: bool, count: int = 8, side: int = 32, **switches: bool) -> str:
    """Squares that say they were made by the line: every second one clean, shams without their square."""
    options = {"paste_back": False, "raw_negatives": False, **switches, **({"sham": True} if sham else {})}
    run = RunWriter(out, RunInfo({"first": first, **options}, {"name": "squares", "items": count}, 1))
    with run.shard(0) as shard:
        for row in range(count):
            sample = picture(first + row, row % 2 == 0, side)
            image = sample.image
            if sham:
                image = np.where(sample.mask[..., None] == 1, np.uint8(120), image)
            injected = bool(sample.mask.any()) and not sham
            meta = dataclasses.replace(
                sample.meta,
                corruption=CorruptionMeta(injected=injected, options=options),
                region=RegionMeta(policy="blobs" if sample.mask.any() else ""),
            )
            shard.write(dataclasses.replace(sample, key=make_key(0, row), image=image, meta=meta))
    run.finalise()
    return str(out)


def test_pixels_by_mask_and_score():
    heat = np.array([[0, 7], [7, 255]], np.uint8)
    mask = np.array([[0, 1], [0, 255]], np.uint8)
    found = by_mask(heat, mask)
    assert found[0, 0] == found[0, 7] == found[1, 7] == 1
    assert found.sum() == 3


def test_each_picture_is_held_against_the_others_masks():
    left, right = np.array([[1, 0]], np.uint8), np.array([[0, 1]], np.uint8)
    heats = [np.array([[200, 10]], np.uint8), np.array([[10, 200]], np.uint8), np.array([[5, 5]], np.uint8)]
    seen = count(heats, [left, right, np.zeros((1, 2), np.uint8)])
    plain, prior, pixel = pixel_aurocs([seen], np.ones((1, 2)))[:, 0]
    assert (plain, prior, pixel) == (1.0, 0.0, 1.5)
    assert seen.masked.tolist() == [True, True, False]
    np.testing.assert_allclose(seen.mean, [105 / 255, 105 / 255, 5 / 255])
    # A picture drawn twice counts twice: the second alone has the same AUROC.
    np.testing.assert_array_equal(pixel_aurocs([seen], np.array([[0.0, 2.0]]))[:, 0], [1.0, 0.0, 1.5])


def masks_and_prior(number: int = 150) -> tuple[list[np.ndarray], np.ndarray]:
    """Squares that lie more often in the middle, and a heat map that knows no more than that."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(number):
        y, x = np.clip(rng.normal(12, 4, 2).round().astype(int), 0, 24)
        mask = np.zeros((32, 32), np.uint8)
        mask[y : y + 8, x : x + 8] = 1
        masks.append(mask)
    y, x = np.mgrid[0:32, 0:32]
    return masks, (200 - 6 * np.hypot(y - 15.5, x - 15.5)).astype(np.uint8)


def test_knowing_where_masks_usually_lie_is_no_leak():
    masks, middle = masks_and_prior()
    found = judge((False, False), [count([middle] * len(masks), masks)], 10, 200, "test")
    assert found.plain.low > 0.6
    assert found.pixel.low < 0.5 < found.pixel.high
    assert abs(found.pixel.value - 0.5) < 0.01
    assert (found.shams, found.clean, found.seeds) == (150, 0, 1)
    assert found.image.value is None
    assert found.to_json()["image"] == {"value": None, "low": None, "high": None}
    assert "n/a" in as_markdown([found], [])


def test_following_the_mask_faintly_is_a_leak():
    masks, middle = masks_and_prior()
    heats = [middle + 30 * mask for mask in masks]
    found = judge((True, True), [count(heats, masks)] * 2, 10, 200, "test")
    assert found.pixel.low > 0.52
    assert found.verdict == "leaks"


def test_pictures_told_apart_as_a_whole():
    rng = np.random.default_rng(1)
    masks = [*masks_and_prior(40)[0], *[np.zeros((32, 32), np.uint8)] * 40]
    noise = [rng.integers(0, 100, (32, 32), dtype=np.uint8) for _ in masks]
    heats = [heat + np.uint8(3) * mask.any().astype(np.uint8) for heat, mask in zip(noise, masks, strict=True)]
    leaking = judge((False, True), [count(heats, masks)], 10, 200, "test")
    assert leaking.image_verdict == "leaks"
    assert leaking.pixel.low < 0.5 < leaking.pixel.high
    assert judge((False, True), [count(noise, masks)], 10, 200, "test").image_verdict == "not shown"


@pytest.mark.parametrize(
    ("pixel", "verdict"),
    [
        (Interval(0.51, 0.495, 0.525), "no leak"),
        (Interval(0.51, 0.48, 0.54), "open"),
        (Interval(0.53, 0.515, 0.545), "open"),
        (Interval(0.56, 0.53, 0.59), "leaks"),
        (Interval(None), "open"),
    ],
)
def test_verdicts(pixel: Interval, verdict: str):
    assert Finding(False, False, pixel, FLAT, pixel, FLAT, 1, 100, 20, 200).verdict == verdict


def test_the_check_needs_a_default_that_passes_and_a_leak_that_is_caught():
    high = Interval(0.6, 0.58, 0.62)
    good = Finding(False, False, FLAT, FLAT, FLAT, FLAT, 1, 100, 20, 200)
    caught = Finding(True, True, high, FLAT, high, FLAT, 1, 100, 20, 200)
    assert conclusion([good, caught])[0]
    assert not conclusion([good])[0]
    assert not conclusion([good, dataclasses.replace(caught, pixel=FLAT)])[0]
    assert not conclusion([dataclasses.replace(good, pixel=high), caught])[0]
    holds, words = conclusion([dataclasses.replace(good, image=high), caught])
    assert not holds
    assert "'leaks' by pictures" in words[0]


def test_runs_in_the_wrong_place_are_refused(tmp_path: Path):
    train = write_run(tmp_path / "train", 0, sham=False)
    sham = write_run(tmp_path / "sham", 100, sham=True)
    pasted = write_run(tmp_path / "pasted", 200, sham=True, paste_back=True)
    same = write_run(tmp_path / "same", 0, sham=True)
    making = open_making(train, sham)
    assert (making.switches, making.policy, making.trained_on, making.folder) == ((False, False), "blobs", 8, "default")
    for pair, words in (
        ((sham, sham), "is no training run"),
        ((train, train), "holds samples that are no shams"),
        ((train, pasted), "different corruption.paste_back"),
        ((train, same), "8 pictures are in"),
    ):
        with pytest.raises(DataError, match=words):
            open_making(*pair)
    with pytest.raises(DataError, match="second pair of the making 'default'"):
        open_makings([(train, sham), (train, sham)])


def test_sizes_that_differ_and_too_few_shams_are_refused():
    one, other = np.ones((2, 2), np.uint8), np.ones((2, 3), np.uint8)
    with pytest.raises(DataError, match="1 sham pictures"):
        count([one], [one])
    with pytest.raises(DataError, match="2 sizes"):
        count([one, other], [one, other])


def test_from_shards_to_table_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pairs = []
    for name, switches in (("a", {}), ("b", {"paste_back": True, "raw_negatives": True})):
        train = write_run(tmp_path / name / "train", 0, sham=False, **switches)
        pairs.append((train, write_run(tmp_path / name / "sham", 100, sham=True, **switches)))
    out = tmp_path / "out"
    options = Options(overrides=TINY_SWIN, iterations=2, resamples=20, processes=2)
    _, text = leakcheck(pairs, out, options)
    told = json.loads((out / "leakcheck.json").read_text())
    status = work_status_of(out)
    assert status is not None
    assert (status.work, status.state, status.processes[0].state) == ("leak check", "finished", "finished")
    assert status.processes[0].done == status.processes[0].total > 0
    assert not (out / ".lock").exists()
    assert [one["making"] for one in told["makings"]] == ["default", "paste-back, raw negatives"]
    assert all((one["shams"], one["clean"], one["trained_on"]) == (4, 4, 8) for one in told["makings"])
    assert text == (out / "leakcheck.md").read_text()
    weights = out / "paste-back-raw-negatives" / "seed0" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    words = [f"--set={one}" for one in TINY_SWIN]
    flat = [word for pair in pairs for word in ("--pair", *pair)]
    code = main(["check", *flat, "--out", str(out), "--iterations", "2", "--bootstrap", "20", *words])
    assert code == (0 if told["holds"] else 1)
    assert capsys.readouterr().out == text
    assert weights.stat().st_mtime_ns == before
    assert main(["check", "--pair", pairs[0][1], pairs[0][0], "--out", str(out)]) == 2
    assert "is no training run" in capsys.readouterr().err
