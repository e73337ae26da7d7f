"""Maps and scores to annotators and binary labels, on cases solved by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import richhf_bytes as made
from PIL import Image

from shards.human.richhf_labels import (
    NUMBERS,
    Annotators,
    MapError,
    binary_label,
    decode_map,
    estimate,
    marks_needed,
    numbers_from_levels,
    numbers_from_scores,
    score_scale,
)

STAIRS = {n: made.grey_map(n, *[(k, 0, 14 * k, 96, 14 * k + 14) for k in range(1, n + 1)]) for n in range(1, 6)}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_encoded_map_is_decoded_by_content(kind):
    grey = made.grey_map(3, (1, 0, 0, 48, 96), (2, 48, 0, 96, 48))
    found = decode_map(made.encode(np.stack([grey] * 3, axis=2) if kind == "WEBP" else grey, kind))
    assert found.form == {"JPEG": "JPEG 0..255", "PNG": "PNG 0..255", "WEBP": "WEBP RGB 0..255"}[kind]
    assert np.abs(found.grey.astype(int) - grey).max() <= (0 if kind == "PNG" else 12)


@pytest.mark.parametrize(
    ("stored", "form"),
    [
        (np.array([[0, 0.5], [1, 0.25]], np.float32), "float32 0..1"),
        (np.array([[0, 127.6], [255, 64]], np.float64), "float64 0..255"),
        (np.array([[0, 128], [255, 64]], np.int64), "int64 0..255"),
        (np.array([[[0], [128]], [[255], [64]]], np.uint8), "uint8 0..255"),
        (np.array([[[0, 128], [255, 64]]], np.uint8), "uint8 0..255"),
    ],
)
def test_arrays_of_either_scale_and_shape(stored, form):
    found = decode_map(stored)
    assert found.form == form
    assert found.grey.dtype == np.uint8
    assert np.array_equal(found.grey, [[0, 128], [255, 64]])


def test_an_empty_map_and_a_struct_of_the_hub():
    found = decode_map({"bytes": made.encode(np.zeros((4, 4), np.uint8)), "path": "x"})
    assert (found.form, found.grey.any()) == ("JPEG empty", np.False_)


def coloured() -> bytes:
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[..., 0] = 200
    return made.encode(rgb, "PNG")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (None, "there is no map"),
        ({"path": "x"}, "there is no map"),
        (b"\x00" * 300, "no readable picture"),
        (made.encode(STAIRS[3], "PNG")[:60], "no readable picture"),
        (coloured(), "coloured"),
        (np.array([[0.0, np.nan]]), "finite"),
        (np.array([[0, 256]]), "256"),
        (np.array([[0.0, -0.1]]), "-0.1"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros(0), "shape"),
        (np.array([["a"]]), "type"),
    ],
)
def test_what_is_no_map_is_named(stored, words):
    with pytest.raises(MapError, match=words):
        decode_map(stored)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("people", [2, 3, 4, 5])
def test_the_levels_tell_the_number_of_annotators(people, kind):
    found = numbers_from_levels(decode_map(made.encode(STAIRS[people], kind)).grey)
    assert min(found) == people


@pytest.mark.parametrize(
    ("grey", "expected"),
    [
        (made.grey_map(3), NUMBERS),  # nothing marked
        (made.grey_map(3, (3, 10, 10, 60, 60)), NUMBERS),  # black and white: any number of people who agree
        (made.grey_map(3, (1, 10, 10, 60, 60)), {3}),
        (made.grey_map(2, (1, 10, 10, 60, 60)), {2, 4}),
        (made.grey_map(4, (1, 10, 10, 60, 60)), {4}),
        (made.grey_map(3, (1, 10, 10, 16, 16)), NUMBERS),  # 16 flat pixels are too few
        (np.full((96, 96), 30, np.uint8), set()),  # no level of anybody
        (made.grey_map(6, (1, 10, 10, 60, 60)), set()),  # nor of six
    ],
)
def test_what_levels_allow(grey, expected):
    assert numbers_from_levels(grey) == expected


def test_a_few_odd_pixels_do_not_change_the_number():
    grey = made.grey_map(3, (1, 0, 0, 96, 48), (2, 0, 48, 96, 96))
    odd = grey.copy()
    odd[10:18, 10:18] = 110  # 36 flat pixels of about 8,600
    assert numbers_from_levels(odd) == {3}


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        ([0.0, 0.5, 1.0], "unit"),
        ([1.0, 3.5, 5.0], "1-5"),
        ([1.0, 1.0], "unknown"),
        ([0.5, 3.0], "unknown"),
        ([-0.1, 0.5], "unknown"),
        ([6.0, 2.0], "unknown"),
        ([math.nan], "unknown"),
        ([math.nan, 0.25], "unit"),
    ],
)
def test_the_scale_of_scores_shows_in_all_of_them_together(scores, scale):
    assert score_scale(scores) == scale


@pytest.mark.parametrize(
    ("scores", "scale", "expected"),
    [
        ([7 / 12, 0.5], "unit", {3}),
        ([10 / 3, 4.0], "1-5", {3}),
        ([0.125, 0.5], "unit", {2, 4}),
        ([1 / 16], "unit", {4}),
        ([0.25, 0.75], "unit", NUMBERS),
        ([7 / 12, math.nan], "unit", {3}),
        ([0.137], "unit", set()),
        ([7 / 12], "unknown", NUMBERS),
    ],
)
def test_the_granularity_of_scores(scores, scale, expected):
    assert numbers_from_scores(np.float32(scores).tolist(), scale) == expected


@pytest.mark.parametrize(
    ("artifact", "misalignment", "scores", "expected"),
    [
        ({3}, NUMBERS, NUMBERS, Annotators(3, "artifact map")),
        ({2, 4}, NUMBERS, {4}, Annotators(4, "artifact map + scores")),
        (NUMBERS, NUMBERS, {3}, Annotators(3, "scores")),
        (NUMBERS, {2, 4}, NUMBERS, Annotators(2, "misalignment map")),
        (NUMBERS, NUMBERS, NUMBERS, Annotators(0, "nothing")),
        ({3}, NUMBERS, {4}, Annotators(3, "artifact map", "scores: 4")),
        (NUMBERS, set(), {3}, Annotators(3, "scores", "misalignment map: no number up to 5 fits")),
        (set(), {3}, {3}, Annotators(0, "nothing", "artifact map: no number up to 5 fits")),
    ],
)
def test_the_artifact_map_leads_and_the_others_fill_in(artifact, misalignment, scores, expected):
    assert estimate(*(frozenset(one) for one in (artifact, misalignment, scores))) == expected


@pytest.mark.parametrize(("people", "thirds", "two"), [(3, 2, 2), (4, 3, 2), (5, 4, 2)])
def test_marks_a_pixel_needs(people, thirds, two):
    assert (marks_needed(people, "two_thirds"), marks_needed(people, "two_marks")) == (thirds, two)


def test_the_rule_is_grey_128_for_three():
    grey = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(binary_label(grey, 3), grey >= 128)
    assert np.array_equal(binary_label(grey, 4), grey >= 160)  # between 127.5 and 191.25
    assert np.array_equal(binary_label(grey, 4, "two_marks"), grey >= 96)  # between 63.75 and 127.5


def test_the_label_survives_jpeg_away_from_edges():
    grey = made.grey_map(3, (1, 8, 8, 88, 88), (2, 24, 24, 72, 72), (3, 40, 40, 56, 56))
    label = binary_label(decode_map(made.encode(grey)).grey, 3)
    expected = np.zeros((96, 96), np.uint8)
    expected[24:72, 24:72] = 1
    wrong = label != expected
    assert wrong[26:70, 26:70].sum() == 0
    assert wrong.sum() <= 40


def test_a_bilevel_and_a_16_bit_picture():
    one = made.grey_map(1, (1, 0, 0, 48, 96))
    assert np.array_equal(decode_map(made.encode(one > 0, "PNG")).grey, one)
    deep = made.encode((STAIRS[3].astype(np.uint16) << 8), "PNG")
    assert np.array_equal(decode_map(deep).grey, STAIRS[3])
    assert Image.open(__import__("io").BytesIO(deep)).mode.startswith("I")
