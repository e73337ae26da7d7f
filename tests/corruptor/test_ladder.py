"""The ladder: what fails is injected again, more strongly, beside what passed; the weakest that passes is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from corruptor.backbone import Backbone
from corruptor.config import (
    CorruptionConfig,
    InjectionConfig,
    InversionConfig,
    ResamplingConfig,
    VerificationConfig,
)
from corruptor.corrupt import corrupt
from corruptor.finish import CorruptedBatch
from corruptor.inject import cells_from_mask, components_of_cells
from corruptor.ladder_config import LadderConfig
from corruptor.noise import try_seed
from corruptor.resample import Later, resample
from shards.build import build, plain

PROMPTS, SEEDS = ["a red face", "", "car"], [11, 12, 13]


def config_of(threshold: float, *, blend: bool = False, **ladder: object) -> CorruptionConfig:
    return CorruptionConfig(
        injection=InjectionConfig(start_step=48),
        inversion=InversionConfig(warm_passes=(1,)),
        resampling=ResamplingConfig(blend=blend),
        verification=VerificationConfig(threshold=threshold),
        ladder=build(LadderConfig, ladder) if ladder else None,
    )


@pytest.mark.parametrize(
    ("start", "values", "steps"),
    [
        (45, {"floor": 30}, (45, 40, 35, 30)),
        (45, {"floor": 33}, (45, 40, 35, 33)),
        (45, {"floor": 35, "tries": 5}, (45, 40, 35, 35, 35)),
        (45, {"floor": 0, "tries": 2}, (45, 40)),
        (0, {"floor": 0, "tries": 3}, (0, 0, 0)),
        (0, {"floor": 0}, (0,)),
        (3, {"floor": 0, "stride": 1}, (3, 2, 1, 0)),
        (900, {"floor": 0, "stride": 1}, tuple(range(900, 800, -1))),
    ],
)
def test_steps(start: int, values: Mapping[str, int], steps: tuple[int, ...]) -> None:
    assert build(LadderConfig, values).steps(start) == steps


def test_a_floor_above_the_start_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"floor is step 40, weaker than the first try at step 35 .* may be 0 to 35"):
        CorruptionConfig(injection=InjectionConfig(start_step=35), ladder=LadderConfig(floor=40))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sham": True, "verification": {"policy": "keep"}}, "sham"),
        ({"resampling": {"num_steps": 5}}, "num_steps"),
        ({"injection": {"method": "direct"}}, "'direct'"),
        ({"ladder": {"floor": 1, "until": "all"}}, "until is 'all'; allowed are every, one"),
        ({"ladder": {"floor": 1, "stride": 0}}, "stride is 0"),
        ({"ladder": {"floor": 1, "tries": 101}}, "tries is 101"),
        ({"ladder": {"tries": 2}}, "missing key 'ladder.floor'"),
    ],
)
def test_what_does_not_go_with_it_is_said(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(CorruptionConfig, {"ladder": {"floor": 10}, **values})


def test_a_config_without_one_says_nothing_of_it() -> None:
    assert "ladder" not in plain(CorruptionConfig())
    assert build(CorruptionConfig, plain(config_of(1.0, floor=40))) == config_of(1.0, floor=40)


def test_components_of_cells() -> None:
    """Two components in one row of cells of 2 x 2; the cell they share goes to the one with more pixels in it."""
    mask = np.zeros((4, 6), np.uint8)
    mask[0:2, 0:3] = 1  # component 0: cell 0 and two pixels of cell 1
    mask[3, 3:6] = 1  # component 1: second row of cells
    mask[0, 5] = 255
    assert components_of_cells(mask, 2).tolist() == [[0, 0, -1], [-1, 1, 1]]
    mask[0, 2] = mask[1, 2] = 0
    mask[0, 3] = 1  # component 1, before the other in scan order: cell 1
    assert components_of_cells(mask, 2).tolist() == [[0, 1, -1], [-1, 2, 2]]


def test_a_first_try_that_passes_is_what_there_is_without_a_ladder(
    backbone: Backbone, images: Tensor, masks: Tensor
) -> None:
    plain_one = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(0.0))
    climbed = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(0.0, floor=48))
    assert torch.equal(climbed.images_NHWC, plain_one.images_NHWC)
    assert torch.equal(climbed.masks_NHW, plain_one.masks_NHW)
    assert [one.num_tries for one in climbed.climbed] == [1, 1, 1]
    assert climbed.nfe == plain_one.nfe
    assert [climbed.nfe_of(row) for row in range(3)] == [plain_one.nfe_of(row) for row in range(3)] == [4, 4, 4]


def test_what_never_passes_is_the_weakest_try_and_costs_all(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    once = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(255.0, floor=48))
    done = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(255.0, floor=46, stride=1, tries=4))
    assert (done.images_NHWC.int() - once.images_NHWC.int()).abs().max() <= 1
    assert not (done.masks_NHW == 1).any()
    # Steps 48, 47, 46, 46: passes 2, 3, 4, 4; the clean row, of which nothing is asked, is resampled once.
    assert done.resampling_nfe == (13, 2, 13)
    assert [one.num_tries for one in done.climbed] == [4, 1, 4]
    assert [done.nfe_of(row) for row in range(3)] == [17, 6, 17]
    assert done.climbed[0].steps == (48, 48)
    assert done.climbed[1].steps == ()
    assert done.start_steps == (48, 48, 48)


def halfway(done: CorruptedBatch) -> float:
    """A threshold between the changes of the two components of row 0."""
    first, second = (one.change_inside for one in done.verifications[0].components)
    assert abs(first - second) > 0.5
    return (first + second) / 2


@pytest.mark.parametrize("blend", [False, True])
def test_only_what_failed_is_tried_again(backbone: Backbone, images: Tensor, masks: Tensor, blend: bool) -> None:
    """Row 0 has two components, of which one passes at once. The other has fresh noise at the floor; the first keeps
    its own step and noise."""
    once = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(0.0, blend=blend))
    threshold = halfway(once)
    good = [one.change_inside >= threshold for one in once.verifications[0].components]
    done = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(threshold, blend=blend, floor=20, stride=28))
    climbed = done.climbed[0]
    assert climbed.num_tries == 2
    assert climbed.tries == tuple(0 if passed else 1 for passed in good), "the tiny model breaks anything from step 20"
    assert climbed.steps == tuple(48 if passed else 20 for passed in good)
    assert done.start_steps[0] == 20
    assert all(one.passed for one in done.verifications[0].components)
    assert torch.equal(done.cells_NHW, once.cells_NHW)


def test_until_one_stops_where_every_goes_on(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    threshold = halfway(corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(0.0)))
    done = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(threshold, floor=20, stride=28, until="one"))
    assert done.climbed[0].num_tries == 1
    assert done.verifications[0].num_components_passed == 1


def test_rows_do_not_depend_on_their_neighbours(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    threshold = halfway(corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(0.0)))
    config = config_of(threshold, floor=20, stride=14)
    together = corrupt(backbone, images, masks, PROMPTS, SEEDS, config)
    assert len({one.num_tries for one in together.climbed}) > 1
    for row in range(3):
        one = slice(row, row + 1)
        alone = corrupt(backbone, images[one], masks[one], PROMPTS[one], SEEDS[one], config)
        assert alone.climbed[0] == together.climbed[row]
        assert torch.equal(alone.masks_NHW[0], together.masks_NHW[row])
        assert (alone.images_NHWC[0].int() - together.images_NHWC[row].int()).abs().max() <= 1


def test_later_injections_come_in_at_their_own_step(backbone: Backbone, images: Tensor) -> None:
    """With a prediction of 0 a cell's way is its own: two injections on one way are each as they are alone."""
    schedule, z0 = backbone.schedule, backbone.encode(images)
    trajectory = [z0 + number for number in range(6)]
    early, late = torch.zeros(3, 8, 8, dtype=torch.bool), torch.zeros(3, 8, 8, dtype=torch.bool)
    early[:, :3], late[:, 5:] = True, True
    begin = torch.where(early[:, None], torch.full_like(z0, 7.0), trajectory[5])
    more = {2: Later(late, torch.full_like(z0, -3.0))}
    for how in (ResamplingConfig(), ResamplingConfig(blend=True)):
        stored = trajectory if how.blend else []
        made = resample(lambda z, t: torch.zeros_like(z), begin, schedule, 45, how, (), stored, early, more)
        first = resample(lambda z, t: torch.zeros_like(z), begin, schedule, 45, how, (), stored, early)
        entered = torch.where(late[:, None], torch.full_like(z0, -3.0), trajectory[3])
        second = resample(lambda z, t: torch.zeros_like(z), entered, schedule, 47, how, (), stored[:4], late)
        rest = ~(early | late)[:, None].expand_as(z0)
        for cells, alone in ((early, first), (late, second)):
            where = cells[:, None].expand_as(z0)
            torch.testing.assert_close(made[where], alone[where], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(made[rest], z0[rest] if how.blend else first[rest])


def test_the_noise_of_a_try_is_that_of_sample_and_number() -> None:
    assert try_seed(11, 0) == 11
    assert len({try_seed(seed, number) for seed in (11, 12) for number in range(5)}) == 10


def test_noise_goes_in_by_its_try(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    """All failed: the second try is what another seed gives from the start at its step."""
    config = dataclasses.replace(config_of(255.0), injection=InjectionConfig(start_step=46))
    from corruptor.corrupt import invert_images
    from corruptor.rows import Tries, make_rows, resample_rows

    inverted = invert_images(backbone, images, PROMPTS, config)
    cells = cells_from_mask(masks, backbone.factor)
    tries = Tries(torch.where(cells, 1, -1), (48, 46))
    climbed = resample_rows(backbone, inverted, make_rows(images, masks, SEEDS), config, tries)
    others = make_rows(images, masks, [try_seed(seed, 1) for seed in SEEDS])
    assert torch.equal(climbed.images_NHWC, resample_rows(backbone, inverted, others, config).images_NHWC)


def test_what_nothing_passed_of_is_tried_as_another_kind_at_last(
    backbone: Backbone, images: Tensor, masks: Tensor
) -> None:
    """Under a threshold between the strongest distortion and what is left out, row 0 becomes an omission."""
    once = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(0.0))
    config = config_of(255.0, floor=46, stride=1, last=["omit"], last_steps=[10])
    never = corrupt(backbone, images, masks, PROMPTS, SEEDS, config)
    assert config.lowest_step == 10
    assert never.kinds == ("distort", "none", "distort"), "none passed: the first try stays"
    assert torch.equal(never.requested_masks_NHW, masks)
    assert (never.images_NHWC.int() - once.images_NHWC.int()).abs().max() <= 1
    # Steps 48, 47, 46 and 10: passes 2, 3, 4 and 40.
    assert never.resampling_nfe == (49, 2, 49)
    strongest = max(one.change_inside for row in (0, 2) for one in once.verifications[row].components)
    last = corrupt(
        backbone, images, masks, PROMPTS, SEEDS, config_of(strongest + 1, floor=48, last=["omit"], last_steps=[10])
    )
    assert last.kinds[1] == "none"
    assert "omit" in last.kinds
    for row, kind in enumerate(last.kinds):
        if kind == "omit":
            assert last.verifications[row].num_components_passed > 0
            assert set(last.climbed[row].steps) == {10}
            assert set(last.climbed[row].tries) == {1}
            assert (last.start_steps[row], last.prompts[row]) == (10, "")
        else:
            assert last.prompts[row] is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"last": ["distort"]}, "last is 'distort'; allowed are duplicate, omit, fuse"),
        ({"last_steps": [3]}, "1 steps for 0 kinds"),
        ({"last": ["omit"], "last_steps": [50]}, r"grid of 50 steps allows 0\.\.49"),
    ],
)
def test_wrong_last_tries(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(CorruptionConfig, {"ladder": {"floor": 10, **values}})
