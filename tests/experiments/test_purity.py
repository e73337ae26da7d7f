"""Label purity: its pictures against the method called alone, its report and its command line."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from corruptor.backbone import Conditioning, NfeCounter
from corruptor.config import CorruptionConfig, VerificationConfig
from corruptor.corrupt import corrupt
from corruptor.line.config import LineConfig, ModelConfig, RegionConfig, SourceConfig
from corruptor.line.plan import noise_seed
from corruptor.schedule import NoiseSchedule
from experiments.purity import __main__ as command
from experiments.purity.count import Component, Row, calibrate, halves
from experiments.purity.make import ROUND_TRIP, count_rows, load_sources, make_pictures, measures_of, settings_of
from experiments.purity.picture import NUM_COLUMNS, save_sheet, sheet
from experiments.purity.report import finite, markdown, purity_of, write_purity
from miniworld.world.splits import SPLITS
from shards.errors import ConfigError


def row_of(image: int, *parts: tuple[float, bool], outside: int = 0, setting: str = "noised, step 40") -> Row:
    """Components of 10 pixels as (score, fault); a fault has 4 pixels."""
    found = tuple(Component(10, fault, 4 * fault, {"mean_abs": score}) for score, fault in parts)
    return Row(image, setting, outside + sum(one.fault_pixels for one in found), 0, 6.0, 1.0, found)


# --- pictures -------------------------------------------------------------------------------------------------------


class PooledModel:
    """A "model" whose latents are means over 4 x 4 pixels and whose noise prediction is a formula."""

    def __init__(self) -> None:
        self.device, self.factor, self.size_multiple, self.nfe = torch.device("cpu"), 4, 4, NfeCounter()
        self.schedule = NoiseSchedule(tuple(np.linspace(0.9999, 0.01, 1000).tolist()))

    def encode(self, images: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(images.permute(0, 3, 1, 2).float() / 127.5 - 1, 4)

    def decode(self, latents: Tensor) -> Tensor:
        big = latents.repeat_interleave(4, 2).repeat_interleave(4, 3)
        return ((big.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def embed(self, prompts: Sequence[str]) -> Conditioning:
        return Conditioning(torch.tensor([[[float(len(prompt))]] for prompt in prompts]))

    def predict_noise(
        self, latents: Tensor, timestep: int, conditioning: Conditioning, scale: float = 1.0, _: str = ""
    ) -> Tensor:
        self.nfe.calls += 1
        return torch.sin(3 * latents + timestep / 100) + 0.01 * conditioning.hidden_BLD[:, :, :, None]


def line_config(**corruption: Any) -> LineConfig:
    return LineConfig(
        source=SourceConfig("miniworld"),
        model=ModelConfig("none"),
        region=RegionConfig("scene", {"level": "parts", "limits": {"dilation": 1, "min_area": 0.006}}),
        corruption=CorruptionConfig(**corruption),
    )


def test_one_inversion_serves_every_setting():
    config, model = line_config(), PooledModel()
    settings = settings_of(config.corruption, (45, 30), ("noised", "gaussian", "blur", "direct"))
    assert [one.name for one in settings] == [
        "clean pass, step 40", "noised, step 45", "noised, step 30", "gaussian, step 30", "blur, step 30", "direct",
    ]  # fmt: skip
    assert [one.noised for one in settings] == [False, True, True, False, False, False]
    sources = load_sources(config, SPLITS["calibration"], 30_000, range(3))
    made = make_pictures(model, sources, settings, config)  # type: ignore[arg-type]
    images = torch.from_numpy(np.stack([item.image for item in sources.items]))
    for one in settings:
        masks = torch.from_numpy(sources.masks_NHW) * one.injected
        seeds = [noise_seed(config.seed, item, 0) for item in sources.items]
        prompts = [item.caption for item in sources.items]
        alone = corrupt(model, images, masks, prompts, seeds, one.config)  # type: ignore[arg-type]
        np.testing.assert_array_equal(made[one.name], alone.images_NHWC.numpy(), err_msg=one.name)
    assert not np.array_equal(made["noised, step 45"], made["clean pass, step 40"])


def test_sources_do_not_depend_on_their_batch():
    config = line_config()
    together, alone = (
        load_sources(config, SPLITS["calibration"], 30_000, range(4)),
        load_sources(config, SPLITS["calibration"], 30_000, [2]),
    )
    place = together.numbers.index(2)
    assert alone.numbers == (2,)
    np.testing.assert_array_equal(together.masks_NHW[place], alone.masks_NHW[0])
    assert together.scenes[place] == alone.scenes[0]


def test_pictures_without_a_region_are_left_out():
    config = line_config()
    nothing = LineConfig(config.source, config.model, region=RegionConfig("scene", {"names": ["unicorn"]}))
    assert load_sources(nothing, SPLITS["calibration"], 30_000, range(2)).items == ()


def test_rows_measure_what_verification_measures():
    config = line_config()
    sources = load_sources(config, SPLITS["calibration"], 30_000, range(2))
    twins = np.full((2, 64, 64, 3), 100, np.uint8)
    changed = twins + 20 * sources.masks_NHW[..., None]
    faults = {ROUND_TRIP: np.zeros_like(sources.masks_NHW), "noised": sources.masks_NHW}
    made = {ROUND_TRIP: twins, "noised": changed}
    rows = count_rows(sources, made, faults, 4, VerificationConfig())  # type: ignore[arg-type]
    assert [row.setting for row in rows] == [ROUND_TRIP, ROUND_TRIP, "noised", "noised"]
    for row in rows:
        damaged = row.setting == "noised"
        assert row.change_inside == 20.0 * damaged
        assert row.change_outside == row.fault_pixels_far == 0
        for one in row.components:
            assert (one.fault, one.fault_pixels) == (damaged, one.num_pixels * damaged)
            assert one.scores["mean_abs"] == 20.0 * damaged
            assert one.scores["changed_share above 16"] == 1.0 * damaged
            assert one.scores["changed_share above 24"] == 0.0


def test_every_metric_is_measured_once():
    names = list(measures_of(VerificationConfig(pixel_threshold=10.0)))
    assert names == [
        "mean_abs", "changed_share above 4", "changed_share above 8", "changed_share above 10",
        "changed_share above 16", "changed_share above 24", "changed_share above 32",
    ]  # fmt: skip


def test_a_step_off_the_grid_is_named():
    with pytest.raises(ConfigError, match=r"--steps: .*50"):
        settings_of(CorruptionConfig(), (50,), ("noised",))


# --- report and sheet -----------------------------------------------------------------------------------------------


def test_report_holds_every_setting_and_no_nan(tmp_path, capsys):
    def scored(row: Row) -> Row:
        names = measures_of(VerificationConfig())
        parts = [
            {**part, "scores": dict.fromkeys(names, part["scores"]["mean_abs"])} for part in row.to_dict()["components"]
        ]
        return Row.from_dict({**row.to_dict(), "components": parts})

    rows = [scored(row_of(k, (float(k), k > 3))) for k in range(8)]
    rows += [scored(row_of(k, (0.0, False), setting=ROUND_TRIP)) for k in range(8)]
    write_purity(tmp_path / "out", rows, {"noised, step 40"}, line_config(), "validation", first=1_000)
    text = (tmp_path / "out" / "purity.json").read_text()
    assert "NaN" not in text
    facts = json.loads(text)
    assert facts["calibration"][0]["threshold"] == 3.5
    assert facts["sources"] == 8
    assert list(facts["purity"]) == sorted(["noised, step 40", ROUND_TRIP])
    table = (tmp_path / "out" / "purity.md").read_text()
    assert "| noised, step 40 | 8 | 50.0% (" in table
    assert "| `mean_abs` | 8 | 4 | 1 (" in table
    assert "nan" not in table
    assert capsys.readouterr().out.strip() == table.strip()


def test_nothing_calibrated_is_said_as_n_a():
    rows = [row_of(0, (5.0, False))]
    figures = {"noised, step 40": purity_of(rows, "mean_abs", 4.0, halves(rows, "mean_abs"))}
    table = markdown(
        {
            "calibration": [calibrate(rows, "mean_abs", rounds=5)],
            "calibration_by_setting": {},
            "labels": {},
            "purity": figures,
            "metric": "mean_abs",
            "threshold": 4.0,
            "command": "x",
            "sources": 1,
            "machine": {"processor": "p", "cores": 1},
            "date": "d",
        }
    )
    assert "nan" not in table
    assert "| `mean_abs` | 1 | 0 | n/a | n/a |" in table


def test_finite_reaches_everywhere():
    assert finite({"a": [1.0, math.nan, (math.inf,)], "b": "nan", "c": 2}) == {
        "a": [1.0, None, [None]],
        "b": "nan",
        "c": 2,
    }


def test_sheet_has_a_row_for_each_setting_and_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    made = {name: rng.integers(0, 256, (NUM_COLUMNS, 64, 64, 3), dtype=np.uint8) for name in ("round trip", "direct")}
    masks = np.zeros((NUM_COLUMNS, 64, 64), np.uint8)
    masks[:, 20:30, 20:30] = 1
    faults = {"round trip": 0 * masks, "direct": masks}
    pixels = sheet(made, masks, faults)
    assert (pixels[:132] == (255, 0, 255)).all(-1).any()
    assert not (pixels[:132] == (255, 255, 0)).all(-1).any()
    assert (pixels[132:] == (255, 255, 0)).all(-1).any()
    save_sheet(tmp_path / "deep" / "steps.webp", pixels)
    assert (tmp_path / "deep" / "steps.webp").stat().st_size < 300_000
    with Image.open(tmp_path / "deep" / "steps.webp") as picture:
        assert picture.size == (pixels.shape[1], pixels.shape[0])


# --- command line ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--n", "0"], "--n is 0"),
        (["--others", "-1"], "--others is -1"),
        (["--processes", "0"], "--processes is 0"),
        (["--first", "9990"], "leaves the validation split"),
        (["--steps", "50"], "--steps: "),
        (["--config", "nowhere.py"], "nowhere.py does not exist"),
        (["--set", "model.folder='no/where/at/all'"], "no/where/at/all"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, monkeypatch, argv, said):
    monkeypatch.setattr("sys.argv", ["purity.py", *argv, "--out", str(tmp_path / "out")])
    assert command.main() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
