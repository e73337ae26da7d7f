"""The benchmark for cards, small, on the CPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import main, passes_of, union_of
from benchmarks.gpu_ways import BEFORE, CHANGES, TEXTS, make_model
from corruptor.shapes import SHAPES


def test_busy_time_counts_overlap_once() -> None:
    assert union_of([]) == 0.0
    assert union_of([(0, 2), (1, 3), (5, 6)]) == 4.0
    assert union_of([(5, 6), (0, 10), (2, 3)]) == 10.0


def test_it_runs_small_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "gpu --device cpu --size tiny --side 16 --batch 1 2 --rounds 1 --images 1 --gpu h100"
    changes = ["vae_half", "variants"]
    monkeypatch.setattr(sys, "argv", [*words.split(), "--changes", *changes, "--out", str(tmp_path)])
    main()
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row["name"] for row in rows[:2]] == ["tiny 16 px, batches of 1: before", "tiny 16 px, batches of 2: before"]
    assert [row["name"].split(": ")[1] for row in rows[2::2]] == [CHANGES[name].name for name in changes]
    for row in rows:
        assert row["rate"]["median"] > 0
        assert row["busy"] == "n/a"
        assert (row["times"] == "") == row["name"].endswith("before")
    assert rows[0]["single"] == 1.0
    assert rows[0]["bound"] == pytest.approx(2 * rows[0]["tflops"] / 989), "all of it in float32"
    assert rows[2]["single"] == pytest.approx(rows[2]["times"]["median"]), "beside its own turn of before"
    half = rows[2]
    assert half["tflops"] / 989 < half["bound"] < 2 * half["tflops"] / 989, "the VAE counts at the full peak"


def test_variants_share_the_inversion() -> None:
    one, four = passes_of(1), passes_of(4)
    assert (four.inversion, four.encodes) == (one.inversion, one.encodes)
    assert (four.resampling, four.decodes - 1) == (4 * one.resampling, 4 * (one.decodes - 1))


def test_ways_change_what_they_say() -> None:
    before, channels = (make_model("tiny", way, "cpu", torch.float32) for way in (BEFORE, CHANGES["channels_last"]))
    half, off = (make_model("tiny", CHANGES[name], "cpu", torch.float32) for name in ("vae_half", "text_off"))
    weight = next(p for p in channels.backbone._parts["unet"].parameters() if p.ndim == 4 and p.shape[2] == 3)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert half.backbone._parts["vae"].dtype == torch.bfloat16
    assert before.backbone._parts["vae"].dtype == torch.float32
    assert before.texts
    assert not off.texts
    assert off.gigabytes < before.gigabytes


@pytest.mark.parametrize(("shape", "billions"), [("sd15", 0.123), ("sdxl", 0.818), ("flux_dev", 4.885)])
def test_text_encoders_have_the_published_sizes(shape: str, billions: float) -> None:
    with torch.device("meta"):
        networks = [kind(config) for kind, config, _ in TEXTS[shape]]
    assert sum(p.numel() for net in networks for p in net.parameters()) / 1e9 == pytest.approx(billions, rel=0.01)
    assert set(TEXTS) <= set(SHAPES)
