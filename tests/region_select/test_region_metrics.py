"""Selected regions against true faults, on pictures small enough to count."""

from __future__ import annotations

import numpy as np
import pytest

from region_select.region_metrics import Counts, compare_areas, count, distance, figures, kind_rows
from shards.source import Region


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[{".": 0, "#": 1, "?": 255}[mark] for mark in row] for row in rows], np.uint8)


REGIONS = (
    Region("face-0", mask_of("##..", "##..", "....", "....")),
    Region("face.eye", mask_of("#...", "....", "....", "...."), "face-0"),
    Region("car-1", mask_of("....", "....", "..##", "..##")),
)
TRUTH = mask_of("#..?", "....", "...#", "...#")
SELECTED = mask_of("##.#", "....", "....", "...#")


def test_one_picture_by_hand():
    one = count(SELECTED, TRUTH, REGIONS, (4, 4))
    assert (one.pixels, one.selected, one.truth, one.both) == (15, 3, 3, 2)
    assert (one.components, one.touched) == (2, 2)
    assert one.kinds == {"face": (4, 2, 1), "car": (4, 1, 2), "ground": (7, 0, 0)}
    assert one.parts == {"face.eye": (1, 1, 1), "ground": (14, 2, 2)}


def test_no_region_and_no_truth():
    one = count(None, None, (), (4, 4))
    assert (one.pixels, one.selected, one.truth, one.components) == (16, 0, 0, 0)
    assert one.kinds == {"ground": (16, 0, 0)}


def test_overlapping_objects_share_no_pixel():
    twice = (Region("a-0", np.ones((2, 2), np.uint8)), Region("b-1", np.ones((2, 2), np.uint8)))
    assert count(None, None, twice, (2, 2)).kinds == {"a": (4, 0, 0), "b": (0, 0, 0), "ground": (0, 0, 0)}


def test_ratios_add_pixels_before_dividing():
    counts = [Counts(100, selected=10, truth=20, both=5, components=2, touched=1), Counts(100, truth=20, components=1)]
    found = {name: figure.value for name, figure in figures(counts, True, 0).items()}
    assert found["coverage"] == 5 / 40
    assert found["precision"] == 0.5
    assert found["artifact_iou"] == 5 / 45
    assert found["components_touched"] == pytest.approx(1 / 3)
    assert (found["no_region"], found["mean_area"], found["mean_area_where_any"]) == (0.5, 0.05, 0.1)
    assert (found["truth_empty"], found["truth_mean_area"]) == (0.0, 0.2)
    assert "coverage" not in figures(counts, False, 0)


def test_intervals_hold_the_value_and_do_not_depend_on_the_hour():
    rng = np.random.default_rng(1)
    counts = [Counts(100, selected=int(n), truth=20, both=int(n) // 2) for n in rng.integers(0, 20, 60)]
    one, two = figures(counts, True, 200), figures(counts, True, 200)
    assert one == two
    assert one["coverage"].low < one["coverage"].value < one["coverage"].high
    assert figures(counts[:1], True, 200)["coverage"].low is None
    assert figures([Counts(4)], True, 10)["precision"].value is None


def test_kinds_and_their_distance_by_hand():
    labelled = [count(SELECTED, TRUTH, REGIONS, (4, 4))]
    sources = [count(mask_of("####", "....", "....", "...."), None, REGIONS, (4, 4))]
    rows = {row.kind: row for row in kind_rows(labelled, sources, "kinds")}
    assert list(rows) == ["car", "face", "ground"]
    assert [rows[k].truth for k in rows] == [pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0]
    assert [rows[k].selected for k in rows] == [0.0, 0.5, 0.5]
    assert [rows[k].pixels for k in rows] == [0.25, 0.25, 0.5]
    assert (rows["car"].broken_rate, rows["face"].selected_rate) == (0.5, 0.5)
    assert distance(list(rows.values()), "selected") == pytest.approx(2 / 3)
    assert distance(list(rows.values()), "truth") == 0.0
    assert distance(kind_rows(labelled, [Counts(4)], "kinds"), "selected") is None


def test_areas_by_hand():
    same = np.array([0.1, 0.2, 0.3])
    assert compare_areas(same, same)["ks_distance"] == 0.0
    told = compare_areas(same, same + 1)
    assert told["ks_distance"] == 1.0
    assert told["truth"][2] == 0.2
    assert compare_areas(same, np.array([]))["selected"] is None
