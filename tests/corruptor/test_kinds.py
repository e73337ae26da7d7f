"""Structural kinds of damage: where content comes from, where the mask goes, what becomes of a run that has none."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from corruptor.backbone import Backbone
from corruptor.config import CorruptionConfig, InjectionConfig, InversionConfig, VerificationConfig
from corruptor.corrupt import corrupt
from corruptor.kinds import Structure, content, duplicated, filled, fused, plan
from corruptor.kinds_config import KindsConfig
from corruptor.ladder_config import LadderConfig
from corruptor.line.prompt import without
from shards.build import build, plain

PROMPTS, SEEDS = ["a red face", "", "car"], [11, 12, 13]


def config_of(
    kinds: KindsConfig | None, ladder: LadderConfig | None = None, threshold: float = 0.0
) -> CorruptionConfig:
    return CorruptionConfig(
        injection=InjectionConfig(start_step=46, kinds=kinds),
        inversion=InversionConfig(warm_passes=(1,)),
        verification=VerificationConfig(threshold=threshold),
        ladder=ladder,
    )


def test_a_duplicate_goes_to_the_only_free_place() -> None:
    """Cells of 2 x 2 pixels, 3 x 3 of them; one component in the corner, all neighbours but the one below ignored."""
    mask = np.zeros((6, 6), np.uint8)
    mask[0:2, 0:2] = 1
    mask[0, 2], mask[2, 2] = 255, 255
    of_cell = np.full((3, 3), -1)
    of_cell[0, 0] = 0
    found = duplicated(mask, of_cell, 2, np.random.default_rng(0))
    assert found is not None
    assert np.argwhere(found.mask == 1).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert (found.mask[0, 2], found.mask[2, 2], found.mask[0, 0]) == (255, 255, 0)
    assert found.sources[0].tolist() == found.sources[1].tolist() == [[0, 1, 2], [0, 4, 5], [6, 7, 8]]


def test_without_room_it_is_a_distortion() -> None:
    mask = np.ones((8, 8), np.uint8)
    assert plan(mask, 1, KindsConfig(distort=0, duplicate=1), 2).kind == "distort"
    assert plan(np.zeros_like(mask), 1, KindsConfig(distort=0, duplicate=1), 2).kind == "none"


def test_fused_with_what_lies_half_its_size_away() -> None:
    of_cell = np.full((4, 4), -1)
    of_cell[1:3, 1:3] = 0
    seen = {tuple(fused(of_cell, np.random.default_rng(seed))[1, 1:3]) for seed in range(20)}
    # Cells 5 and 6 take those one to the left, to the right, above or below.
    assert seen == {(4, 5), (6, 7), (1, 2), (9, 10)}
    assert fused(of_cell, np.random.default_rng(0))[0].tolist() == [0, 1, 2, 3], "others stay"


def test_content_is_the_mean_of_the_two_sources() -> None:
    z0 = torch.arange(4.0).reshape(1, 1, 2, 2)
    sources = np.array([[[0, 1], [2, 3]], [[0, 1], [2, 0]]])
    mask = np.zeros((2, 2), np.uint8)
    cells = torch.tensor([[[False, False], [False, True]]])
    assert content(z0, [Structure("fuse", mask, sources)], cells)[0, 0].tolist() == [[0.0, 1.0], [2.0, 1.5]]
    assert torch.equal(content(z0, [Structure("distort", mask, sources)], cells), z0)
    assert content(z0, [Structure("omit", mask, sources)], cells)[0, 0, 1, 1] == pytest.approx(1.5, abs=1e-4)


def test_filled_is_smooth_between_its_edges() -> None:
    """Between columns of 0 and 4 the filled ones are those of a straight line."""
    z0 = torch.tensor([[0.0, 9.0, 9.0, 9.0, 4.0]]).repeat(3, 1)[None]
    inside = torch.tensor([[False, True, True, True, False]]).repeat(3, 1)
    torch.testing.assert_close(filled(z0, inside)[0, 1], torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]), atol=1e-3, rtol=0)
    everything = filled(z0, torch.ones_like(inside))
    torch.testing.assert_close(everything, torch.full_like(z0, float(z0.mean())), atol=1e-5, rtol=0)


def test_kinds_come_by_their_shares_and_by_the_seed_alone() -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 1
    kinds = KindsConfig(distort=1, duplicate=2, omit=1, fuse=0)
    found = [plan(mask, seed, kinds, 4).kind for seed in range(200)]
    counts = Counter(found)
    assert set(counts) == {"distort", "duplicate", "omit"}
    assert 75 < counts["duplicate"] < 125
    assert found[:5] == [plan(mask, seed, kinds, 4).kind for seed in range(5)]


def test_distort_alone_is_what_there_is_without_kinds(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    bare = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(None))
    named = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(KindsConfig()))
    assert torch.equal(bare.images_NHWC, named.images_NHWC)
    assert (bare.kinds, named.kinds) == ((), ("distort", "none", "distort"))


@pytest.mark.parametrize("kind", ["duplicate", "omit", "fuse"])
def test_each_kind_is_something_else(backbone: Backbone, images: Tensor, masks: Tensor, kind: str) -> None:
    masks = masks.clone()
    masks[2] = 0
    masks[2, 8:16, 8:16] = 1
    bare = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(None))
    done = corrupt(backbone, images, masks, PROMPTS, SEEDS, config_of(KindsConfig(**{"distort": 0, kind: 1})))
    assert done.kinds == (kind, "none", kind)
    assert not torch.equal(done.images_NHWC[2], bare.images_NHWC[2])
    assert torch.equal(done.images_NHWC[1], bare.images_NHWC[1])
    same = torch.equal(done.requested_masks_NHW, masks)
    assert same == (kind != "duplicate")
    assert done.prompts == (("", None, "") if kind == "omit" else (None, None, None))
    for row in (0, 2):  # and no row depends on its neighbours
        one = slice(row, row + 1)
        kinds = KindsConfig(**{"distort": 0, kind: 1})
        alone = corrupt(backbone, images[one], masks[one], PROMPTS[one], SEEDS[one], config_of(kinds))
        assert torch.equal(alone.masks_NHW[0], done.masks_NHW[row])
        assert (alone.images_NHWC[0].int() - done.images_NHWC[row].int()).abs().max() <= 1


def test_omit_is_resampled_with_its_own_prompt(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    config = config_of(KindsConfig(distort=0, omit=1))
    made = [
        corrupt(backbone, images, masks, PROMPTS, SEEDS, config, prompts_without=told).images_NHWC
        for told in (["hand", "", ""], ["", "", ""])
    ]
    assert not torch.equal(made[0][0], made[1][0])
    assert torch.equal(made[0][2], made[1][2])
    with pytest.raises(ValueError, match="2 prompts_without for 3 rows"):
        corrupt(backbone, images, masks, PROMPTS, SEEDS, config, prompts_without=["", ""])


def test_kinds_start_where_they_are_told_to_and_climb(backbone: Backbone, images: Tensor, masks: Tensor) -> None:
    kinds = KindsConfig(distort=1, fuse=1, start_step=48)
    done = corrupt(backbone, images, masks, PROMPTS, range(3), config_of(kinds))
    assert set(done.kinds) >= {"none"}
    assert done.start_steps == tuple(48 if kind == "fuse" else 46 for kind in done.kinds)
    config = config_of(KindsConfig(distort=0, fuse=1, start_step=48), LadderConfig(floor=44, stride=2), 255.0)
    climbed = corrupt(backbone, images, masks, PROMPTS, SEEDS, config)
    assert config.lowest_step == 44
    assert [one.num_tries for one in climbed.climbed] == [3, 1, 3]
    # 6 steps up; down from 48, 46 and 44, and the clean row once from 46.
    assert [climbed.nfe_of(row) for row in range(3)] == [6 + 2 + 4 + 6, 6 + 4, 6 + 2 + 4 + 6]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"injection": {"method": "blur", "kinds": {}}}, "kinds needs injection.method 'noised', not 'blur'"),
        ({"injection": {"kinds": {"distort": 0.0}}}, "no share above 0"),
        ({"injection": {"kinds": {"omit": -1.0}}}, "kinds.omit is -1"),
        ({"injection": {"kinds": {"start_step": 50}}}, "grid of 50 steps allows 0..49"),
        ({"injection": {"kinds": {}}, "sham": True, "verification": {"policy": "keep"}}, "does not go with sham"),
        ({"injection": {"kinds": {"start_step": 30}}, "ladder": {"floor": 35}}, "weaker than the first try at step 30"),
    ],
)
def test_what_does_not_go_with_kinds_is_said(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(CorruptionConfig, values)


def test_a_config_without_them_says_nothing_of_them() -> None:
    assert "kinds" not in plain(InjectionConfig())


@pytest.mark.parametrize(
    ("caption", "names", "left"),
    [
        ("red sign with EXIT at top, blue car at bottom right, grey sky", ["car-0", "car.wheel"],
         "red sign with EXIT at top, grey sky"),
        ("A hand and a face", ["hand.finger"], "a face"),
        ("a dog on a bench", ["hand"], ""),
        ("a face", ["face"], ""),
        ("", ["face"], ""),
    ],
)  # fmt: skip
def test_a_caption_without_what_is_left_out(caption: str, names: list[str], left: str) -> None:
    assert without(caption, names) == left
