"""The probe's view of a picture, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from detector.compat import load_mmseg

load_mmseg()

from detector.trace_backbone import TraceBackbone  # noqa: E402


def test_it_sees_differences_from_the_surroundings_and_no_level():
    backbone = TraceBackbone(channels=4, dilations=(1,)).eval()
    seen: list[torch.Tensor] = []
    backbone.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    picture = torch.full((1, 3, 5, 5), 77.0)
    picture[0, 1, 2, 2] += 9
    [features] = backbone(picture)
    assert features.shape == (1, 4, 5, 5)
    # The mean of 3 x 3 rises by 1 around the brighter pixel: it is 8 above its own, its neighbours 1 below theirs.
    squashed = seen[0][0]
    assert squashed.shape == (6, 5, 5)
    assert squashed[[0, 2, 3, 5]].abs().max() == 0
    assert squashed[1, 2, 2].item() == pytest.approx(math.tanh(8))
    assert squashed[4, 2, 2].item() == pytest.approx(math.tanh(2))
    assert squashed[1, 1, 3].item() == pytest.approx(math.tanh(-1))
    assert squashed[1, 0, 0] == 0
    assert torch.equal(backbone(picture + 100)[0], features)
