"""A second opinion: components whose score does not rise from twin to picture are unchanged, whatever changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from corruptor.config import CorruptionConfig, InjectionConfig, SecondOpinion, VerificationConfig
from corruptor.finish import rises_of
from corruptor.verify import verify
from shards.build import build, plain

ASKED = SecondOpinion("weights.safetensors", rise=0.2)


def two_components():
    """Both changed by 100; the score of the first rises by 0.3 on average, that of the second by 0.1."""
    twin = np.full((16, 16, 3), 50, np.uint8)
    mask = np.zeros((16, 16), np.uint8)
    mask[2:6, 2:6] = mask[10:14, 10:14] = 1
    picture = np.where(mask[..., None] == 1, np.uint8(150), twin)
    rise = np.zeros((16, 16), np.float32)
    rise[2:6, 2:4], rise[2:6, 4:6] = 0.5, 0.1
    rise[10:14, 10:14] = 0.1
    return picture, twin, mask, rise


def test_a_component_that_does_not_rise_is_unchanged():
    picture, twin, mask, rise = two_components()
    label, found = verify(picture, twin, mask, 4, VerificationConfig(second_opinion=ASKED), rise)
    assert [one.passed for one in found.components] == [True, False]
    assert [one.rise for one in found.components] == pytest.approx([0.3, 0.1])
    assert (label[2:6, 2:6] == 1).all()
    assert not label[10:14, 10:14].any()


@pytest.mark.parametrize(("policy", "left"), [("keep", 1), ("ignore", 255), ("drop", 0), ("tighten", 0)])
def test_what_becomes_of_it_is_the_policy(policy, left):
    picture, twin, mask, rise = two_components()
    config = VerificationConfig(policy=policy, second_opinion=ASKED)
    assert (verify(picture, twin, mask, 4, config, rise)[0][10:14, 10:14] == left).all()


def test_it_takes_both():
    """A rise without a change is no artifact either."""
    picture, twin, mask, rise = two_components()
    picture[2:6, 2:6] = 50
    label, _ = verify(picture, twin, mask, 4, VerificationConfig(second_opinion=ASKED), rise)
    assert not label.any()


def test_rises_are_asked_for_where_there_is_a_mask():
    picture, twin, mask, _ = two_components()
    seen = []

    def opinion(images):
        seen.extend(images)
        return [image[..., 0].astype(np.float32) / 255 for image in images]

    config = CorruptionConfig(verification=VerificationConfig(second_opinion=ASKED))
    stacked = [torch.from_numpy(np.stack([one, other])) for one, other in [(picture, twin), (twin, twin)]]
    masks = torch.from_numpy(np.stack([mask, np.zeros_like(mask)]))
    first, second = rises_of(stacked[0], stacked[1], masks, config, opinion)
    assert second is None
    assert len(seen) == 2
    assert first is not None
    np.testing.assert_allclose(first, np.where(mask == 1, np.float32(100 / 255), 0), atol=1e-6)
    with pytest.raises(ValueError, match="no detector was given"):
        rises_of(*stacked, masks, config, None)
    assert rises_of(*stacked, masks, CorruptionConfig(), None) == [None, None]


def test_a_config_without_one_says_nothing_of_it():
    """What a run writes of its config stays as it was."""
    assert "second_opinion" not in plain(VerificationConfig())
    told = plain(VerificationConfig(second_opinion=ASKED))
    assert build(VerificationConfig, told) == VerificationConfig(second_opinion=ASKED)
    assert "boundary" not in told["second_opinion"]
    assert plain(replace(ASKED, boundary=2))["boundary"] == 2
    assert build(VerificationConfig, plain(VerificationConfig()), require_all=True) == VerificationConfig()
    assert plain(CorruptionConfig(injection=InjectionConfig()))["verification"].keys() == {
        "policy",
        "metric",
        "threshold",
        "pixel_threshold",
    }


@pytest.mark.parametrize(
    "values", [{"detector": ""}, {"detector": "a", "rise": 2.0}, {"detector": "a", "boundary": 65}, {"rise": 0.1}]
)
def test_wrong_values(values):
    with pytest.raises(ValueError, match=r"second_opinion|detector"):
        build(VerificationConfig, {"second_opinion": values})
