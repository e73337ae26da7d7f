"""Samples once more: the oracle's masks, clean twins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from ablation.derive import derived
from miniworld.source import MiniworldSource
from shards.errors import ConfigError
from shards.schema import Meta, Sample, SourceMeta, decode_sample, encode_sample


def scene(label: int) -> Sample:
    """A faultless scene whose mask says what `label` says."""
    item = MiniworldSource(count=1)[0]
    mask = np.zeros(item.image.shape[:2], np.uint8)
    mask[:8, :8] = label
    source = SourceMeta("miniworld", item.uri, item.sha256)
    meta = Meta(label="artifact" if label == 1 else "clean", source=source, scene=dict(item.scene))
    return Sample("00000_00000", item.image, mask, meta, item.image)


def test_the_oracle_takes_a_label_away():
    (made,) = derived(scene(1), "oracle", twins=False)
    assert made.meta.label == "clean"
    assert not made.mask.any()
    assert decode_sample(made.key, encode_sample(made)).meta.mask.artifact_pixels == 0


def test_a_twin_of_a_broken_picture_only():
    sample = scene(1)
    kept, twin = derived(sample, "", twins=True)
    assert kept is sample
    assert (twin.meta.label, twin.mask.any()) == ("clean", False)
    np.testing.assert_array_equal(twin.image, sample.source)
    assert derived(scene(0), "", twins=True)[0].meta.label == "clean"
    assert len(derived(scene(0), "", twins=True)) == 1
    with pytest.raises(ConfigError, match="has no twin"):
        derived(dataclasses.replace(sample, source=None), "", twins=True)


def test_the_oracle_knows_one_world(sample: Callable[..., Sample]):
    with pytest.raises(ConfigError, match="the oracle labels pictures of the embedded world only"):
        derived(sample(), "oracle", twins=False)
