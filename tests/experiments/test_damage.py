"""Ways to damage compared: counts of one row of a batch, and figures of a few rows solved by hand."""

from __future__ import annotations

import json

import pytest

from experiments.damage.__main__ import read_arm, read_stricter
from experiments.damage.arms import Part, Row
from experiments.damage.report import figures, markdown
from shards.errors import ConfigError


def row(image, nfe, label, *parts):
    return Row(image, nfe, 1, tuple(Part(kept, fault, 20.0, None, 0) for kept, fault in parts), label, "omit")


ROWS = [
    row(0, 16, (30, 10, 5), (True, True), (True, False)),
    row(1, 24, (10, 10, 15), (True, True), (False, True)),
    row(2, 40, (0, 0, 7), (False, True)),
]


def test_figures():
    found = figures(ROWS, 4, rounds=20)
    assert (found["samples"], found["yield"]["share"]) == (2, 0.5), "of four sources one had no region"
    assert found["purity"]["share"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["kept"]["share"] == pytest.approx(3 / 5, abs=1e-4)
    assert found["precision"]["share"] == pytest.approx(40 / 60)
    assert found["recall"]["share"] == pytest.approx(40 / 60), "faults of rejects do not count"
    assert found["passes"]["mean"] == 40.0, "rejects cost as well"
    assert found["passes"]["low"] <= 40.0 <= found["passes"]["high"]
    assert "50.0%" in markdown({"an arm": found})


def test_a_stricter_rule_over_the_same_pictures():
    parts = (Part(True, True, 20.0, 0.3, 0), Part(True, False, 30.0, 0.05, 0), Part(False, True, 40.0, 0.3, 0))
    rows = [Row(0, 16, 1, parts, (30, 10, 5)), Row(1, 16, 1, parts[1:2], (9, 9, 9))]
    (name, found), (_, far) = read_stricter(["0:0.08:2", "25:0:0.2"], "once", rows)
    assert name == "once, change 0, distance 0.08 to 2"
    assert [[one.kept for one in row.parts] for row in found] == [[True, False, False], [False]]
    assert [row.is_sample for row in found] == [True, False]
    assert [[one.kept for one in row.parts] for row in far] == [[False, True, False], [True]]
    assert "n/a" in markdown({name: {**figures(found, 2, rounds=5), "precision": {}}})
    for wrong in ("8", "a:0:1"):
        with pytest.raises(ConfigError, match="LEAST:LOW:HIGH"):
            next(read_stricter([wrong], "once", rows))
    with pytest.raises(ConfigError, match="tries again"):
        next(read_stricter(["0:0:1"], "ladder", [Row(0, 32, 2, parts, (1, 0, 0))]))


def test_rows_are_written_down_whole():
    told = json.loads(json.dumps([one.to_dict() for one in ROWS]))
    assert [Row.from_dict(one) for one in told] == ROWS


def test_arms():
    assert read_arm("once") == ("once", [])
    assert read_arm("ladder4 a.b={'c':1,'d':[2]} e=f") == ("ladder4", ["a.b={'c':1,'d':[2]}", "e=f"])
    for wrong in ("", "a/b", "../x y=1"):
        with pytest.raises(ConfigError, match="must begin with a name"):
            read_arm(wrong)
