"""Cells, tables and sentences by hand; the marks of the docs; blocks."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablation.blocks import Bullets, Figure, Heading, Table, Text, as_html, as_markdown
from ablation.cells import Cell, load_cell, save_resamples
from ablation.docs import between
from ablation.plots import series_of
from ablation.report import (
    MATCHED,
    cell,
    gap_tables,
    metrics_of,
    on_test,
    score_table,
    sentences,
    shares,
    validation_table,
    verdict,
)
from detector.score.api import score_pairs
from detector.score.bootstrap import compare, summarise
from detector.score.counts import Counts
from shards.errors import ConfigError, MissingInputError


def counts(strength: float, threshold: float = 0.5, broken: bool = True) -> Counts:
    """Of a detector that says 0.9 inside a share `strength` of the truth."""
    rng = np.random.default_rng(0)
    pairs = []
    for k in range(12):
        truth = np.zeros((8, 8), np.uint8)
        truth[2:6, 2:6] = broken and k % 3 > 0
        heat = np.where(truth == 1, 0.9, 0.1).astype(np.float32)
        heat[rng.random((8, 8)) > strength] = 0.1
        pairs.append((f"k{k:02d}", truth, heat))
    return score_pairs(pairs, threshold)


def saved(folder: Path, *each: Counts) -> Cell:
    folders = []
    for number, one in enumerate(each):
        place = folder / str(number)
        place.mkdir(parents=True)
        save_resamples(place, one, 200, None)
        folders.append(place)
    return load_cell(folders, 200)


def test_cells_are_what_the_scorer_says(tmp_path: Path):
    weak, strong = (counts(0.4), counts(0.5)), (counts(0.9), counts(0.8))
    one, other = saved(tmp_path / "strong", *strong), saved(tmp_path / "weak", *weak)
    expected = summarise(strong, 200, "ablation")
    apart = compare(strong, weak, 200, "ablation")
    for metric in ("artifact_iou", "pixel_ap", "image_auroc_max", "fpr_clean"):
        found, want = one.estimate(metric), expected[metric]
        assert (found.value, found.low, found.high) == pytest.approx((want.value, want.low, want.high))
        assert found.seed_std == pytest.approx(want.seed_std)
        found, want = one.minus(other, metric), apart[metric]
        assert (found.value, found.low, found.high) == pytest.approx((want.value, want.low, want.high))
    assert one.images == (12, 8, 4)
    assert one.estimate(MATCHED).value is None


def test_seeds_with_thresholds_of_their_own(tmp_path: Path):
    found = saved(tmp_path, counts(1.0, 0.2), counts(1.0, 0.8)).estimate("artifact_iou")
    assert found.value == found.low == 1.0
    assert found.per_seed == (1.0, 1.0)


def test_a_damaged_file_is_one_line(tmp_path: Path):
    (tmp_path / "resamples-5.npz").write_bytes(b"PK nothing")
    with pytest.raises(MissingInputError, match="delete its folder and run again"):
        load_cell([tmp_path], 5)


def test_the_same_content_is_drawn_as_everything_else(tmp_path: Path):
    one = counts(0.5)
    alike = {key: ("sign", bool(n)) for key, n in zip(one.keys, one.artifact, strict=True)}
    save_resamples(tmp_path, one, 50, alike)
    found = load_cell([tmp_path], 50)
    assert found.points[MATCHED] == found.points["image_auroc_max"]
    np.testing.assert_allclose(found.drawn[MATCHED], found.drawn["image_auroc_max"])


def test_the_share_of_a_distance_by_hand():
    metric, images = "artifact_iou", (9, 6, 3)

    def level(point: float, *drawn: float) -> Cell:
        return Cell({metric: [point - 0.01, point + 0.01]}, {metric: np.array(drawn)}, images)

    floor, ceiling = level(0.4, 0.4, 0.3, 0.5), level(0.6, 0.6, 0.7, 0.6)
    found = level(0.55, 0.5, 0.6, 0.55).recovered(floor, ceiling, metric)
    assert found.value == pytest.approx(0.15 / 0.2)
    # 0.1 of 0.2, 0.3 of 0.4, 0.05 of 0.1: quantiles between 0.5 and 0.75.
    assert (found.low, found.high) == pytest.approx((0.5, 0.5 + 0.95 * 0.25))
    alike = level(0.55, 0.5, 0.6, 0.55).recovered(floor, level(0.41, 0.41, 0.3, 0.4), metric)
    assert (alike.value, alike.reason) == (None, "floor and ceiling are not told apart")


def estimate(value: float | None, low: float | None = None, high: float | None = None, sd: float | None = None) -> Any:
    return {"value": value, "low": low, "high": high, "seed_std": sd}


def results(**changes: Any) -> dict[str, Any]:
    """Two arms on two sets, numbers by hand."""
    arms = [
        {"name": "a", "value": 45.0, "series": ""},
        {"name": "b", "value": 40.0, "series": ""},
        {"name": "c", "value": None, "series": ""},
    ]
    wild = {
        "artifact_iou": estimate(0.4774, 0.4549, 0.4989, 0.0042),
        "pixel_ap": estimate(0.5, 0.4, 0.6),
        MATCHED: estimate(0.6, 0.5, 0.7),
        "fpr_clean": estimate(0.5, 0.4, 0.6),
        "apaa_clean": estimate(0.1, 0.0, 0.2),
    }
    clean = {**dict.fromkeys(wild, estimate(None)), "fpr_clean": wild["fpr_clean"], "apaa_clean": wild["apaa_clean"]}
    difference = {
        "artifact_iou": estimate(0.0157, 0.0114, 0.0197),
        "pixel_ap": estimate(-0.02, -0.03, -0.01),
        MATCHED: estimate(0.01, -0.01, 0.03),
        "fpr_clean": estimate(0.0, 0.0, 0.0),
        "apaa_clean": estimate(None),
    }
    told: dict[str, Any] = {
        "grid": {
            "arms": arms,
            "metrics": ["artifact_iou", "pixel_ap", MATCHED],
            "compare": [["a", "b"]],
            "gaps": [["b", "a", "c"]],
            "backbones": ["swin_mini"],
            "tests": {"wild": "", "clean": ""},
        },
        "means": [
            {"arm": arm, "backbone": "swin_mini", "test": test, "metrics": metrics}
            for arm in "abc"
            for test, metrics in (("wild", wild), ("clean", clean))
        ],
        "differences": [
            {"first": "a", "second": "b", "backbone": "swin_mini", "test": test, "metrics": difference}
            for test in ("wild", "clean")
        ],
        "recovered": [],
        "content_alone": [],
    }
    return {**told, **changes}


def test_a_sentence_by_hand():
    assert sentences(results()) == [
        "a, against b (swin_mini): on wild, artifact IoU is 1.6 points higher (+1.1 to +2.0), pixel AP is 2.0 points "
        "lower (-3.0 to -1.0) and image AUROC (max), same content is not told apart (-1.0 to +3.0); on clean, FPR is "
        "not told apart (+0.0 to +0.0)."
    ]
    assert sentences(results(differences=[])) == ["a, against b (swin_mini): not compared, a training is missing."]
    assert verdict(estimate(0.012), "pixel_ap") == "+1.2 points apart, without interval"
    assert verdict(estimate(0.5, 0.4, 0.6), "heat_nss") == "0.5000 higher (+0.4000 to +0.6000)"
    assert on_test({"test": "x", "metrics": {"pixel_ap": estimate(None)}}, ["pixel_ap"]) == ""


def test_shares_in_words_and_in_a_table():
    metrics = {"artifact_iou": estimate(0.56, 0.444, 0.7), "pixel_ap": estimate(None), MATCHED: estimate(1.2, 0.9, 2.0)}
    named = {"arm": "b", "floor": "a", "ceiling": "c", "backbone": "swin_mini", "metrics": metrics}
    told = results(recovered=[{**named, "test": "wild"}, {**named, "test": "clean"}])
    assert shares(told) == [
        "b recovers, of the distance from a to c (swin_mini): on wild 56% (44 to 70) of artifact IoU, "
        "120% (90 to 200) of image AUROC (max), same content."
    ]
    (table,) = gap_tables(told)
    assert table.title == "what b recovers of the distance from a to c"
    assert table.rows[0] == ("wild, swin_mini", "56% (44 to 70)", "-", "120% (90 to 200)")
    assert gap_tables(results()) == []


def test_a_table_by_hand():
    assert metrics_of(results(), "clean") == ["fpr_clean", "apaa_clean"]
    table = score_table(results(), "swin_mini", "wild")
    assert table is not None
    assert table.columns == ("arm", "artifact IoU, %", "pixel AP, %", "image AUROC (max), same content, %")
    assert table.rows[0] == ("a", "47.7 (45.5 to 49.9), sd 0.4", "50.0 (40.0 to 60.0)", "60.0 (50.0 to 70.0)")
    assert score_table(results(), "convnext_mini", "wild") is None
    assert cell(estimate(None), "pixel_ap") == "n/a"


def test_what_is_chosen_by_is_a_table_of_its_own():
    scores = {"artifact_iou": [0.4, 0.44, 0.48], "pixel_ap": [0.6, None, 0.6], "fpr_clean": [0.1, 0.1, 0.1]}
    told = [
        {"arm": "a", "backbone": "swin_mini", "scores": scores},
        {"arm": "b", "backbone": "swin_mini", "scores": {"artifact_iou": [0.5], "pixel_ap": [0.25]}},
        {"arm": "a", "backbone": "convnext_mini", "scores": {"artifact_iou": [None]}},
    ]
    table = validation_table(results(validation=told), "swin_mini")
    assert table is not None
    assert table.columns == ("arm", "artifact IoU, %", "pixel AP, %")
    assert table.rows == (("a", "44.0, sd 4.0", "-"), ("b", "50.0", "25.0"))
    assert validation_table(results(validation=told), "convnext_mini") is None


def test_series_are_sorted_by_value_and_levels_stand_apart():
    found = series_of(results(), "wild", "artifact_iou")
    assert [point[0] for point in found["arms"]] == [40.0, 45.0]
    assert found["c"][0] == (None, pytest.approx(47.74), pytest.approx(45.49), pytest.approx(49.89))


def test_blocks(tmp_path: Path):
    Image.new("L", (1000, 2)).save(tmp_path / "p.png")
    blocks = [
        Text("run `a < b`"),
        Heading("H"),
        Bullets(("one | two", "x" * 300 + " y")),
        Table("T", ("arm", *(f"column {i}" for i in range(9))), (("a|b", *("1.0 (0.0 to 2.0)",) * 9),)),
        Figure(tmp_path / "p.png", "what & where"),
    ]
    text = as_markdown("Title", blocks, tmp_path)
    assert text.startswith("# Title\n\nrun `a < b`\n\n## H\n\n- one | two\n")
    assert "![what & where](p.png)" in text
    tables = [line for line in text.splitlines() if line.startswith("| a\\|b")]
    assert len(tables) == 2  # too wide for one
    assert max(map(len, tables)) <= 120
    page = as_html("T & T", blocks)
    assert "<p>run <code>a &lt; b</code></p>" in page
    assert "<td>a|b</td>" in page
    data = base64.b64encode((tmp_path / "p.png").read_bytes()).decode()
    assert f'src="data:image/png;base64,{data}" alt="what &amp; where" style="min-width:620px"' in page
    assert "<title>T &amp; T</title>" in page


def test_tables_go_between_the_marks():
    page = "# Results\n\n<!-- closed-world: begin -->\nold\n<!-- closed-world: end -->\nafter\n"
    new = between(page, "closed-world", "new\n")
    assert new == "# Results\n\n<!-- closed-world: begin -->\n\nnew\n\n<!-- closed-world: end -->\nafter\n"
    assert between(new, "closed-world", "new") == new
    with pytest.raises(ConfigError, match="has no line '<!-- other: begin -->'"):
        between(page, "other", "new")
    docs = Path(__file__).parents[2] / "docs" / "evidence" / "results.md"
    assert between(docs.read_text(encoding="utf-8"), "closed-world", "new")
