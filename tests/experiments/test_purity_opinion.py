"""Second opinions in the purity experiment: components by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.purity.count import Component, Row
from experiments.purity.opinion import best_rise, open_opinions, opinion_figures, rises
from shards.errors import ConfigError


def test_best_rise_by_hand():
    """Of the changed, a rise of 0.2 keeps two of three faulty ones and one whole; 0.3 would keep one of them alone."""
    rise = np.array([0.0, 0.1, 0.2, 0.25, 0.3, 0.9])
    faulty = np.array([True, False, True, False, True, False])
    changed = np.array([True, True, True, True, True, False])
    assert best_rise(rise, faulty, changed) == 0.2
    assert best_rise(rise, faulty, changed & (rise > 0.25)) == 0.3
    assert math.isnan(best_rise(rise, ~changed, changed))


def test_figures_choose_on_the_other_half():
    """Both halves alike: the rise tells all faults, so purity goes from a half to 1."""
    parts = [(True, 0.5), (False, 0.1), (True, 0.4), (False, 0.0)]
    own = tuple(Component(10, fault, 10 * fault, {"mean_abs": 20.0, "rise": up}) for fault, up in parts)
    rows = [Row(image, "noised", 20, 0, 20.0, 1.0, own) for image in range(4)]
    found = opinion_figures(rows, "mean_abs", 18.0, "rise")
    assert found["change_alone"]["purity"]["share"] == 0.5
    assert found["with_opinion"]["purity"]["share"] == 1.0
    assert found["with_opinion"]["recall"]["share"] == 1.0
    assert found["rise"] == {"even": 0.4, "odd": 0.4}
    assert opinion_figures(rows, "mean_abs", 21.0, "rise")["with_opinion"]["recall"]["hits"] == 0


def test_rises_are_means_over_components():
    twin = np.zeros((1, 8, 8, 3), np.uint8)
    picture = twin.copy()
    mask = np.zeros((8, 8), np.uint8)
    mask[0:2, 0:2] = mask[5:7, 5:7] = 1
    picture[0, 0:2, 0] = 100
    found = rises(picture, twin, [mask], lambda images: [one[..., 0].astype(np.float32) / 100 for one in images])
    assert found == [[pytest.approx(0.5), 0.0]]


@pytest.mark.parametrize("told", ["msr", "msr="])
def test_opinions_have_a_form(told):
    with pytest.raises(ConfigError, match="SCORE=WHERE"):
        open_opinions([told])


@pytest.mark.parametrize("told", ["msr:=a", "msr:x=a", "msr:-1=a", ":2=a"])
def test_pixels_of_outlines_are_a_number(told):
    with pytest.raises(ConfigError, match="PIXELS"):
        open_opinions([told])


def test_a_segmenter_that_drops_outlines():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    where = "detector/weights/segmenter_mini"
    opinions = open_opinions([f"msr={where}", f"msr:2={where}"])
    assert list(opinions) == [f"rise of msr in {where}", f"rise of msr:2 in {where}"]
    plain, without = (look([picture])[0] for look in opinions.values())
    assert (without <= plain + 1e-6).all()
    assert without.sum() < plain.sum()
