"""Percentiles, best of several, and agreement, on cases solved by hand and on a folder of real predictions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from applications.ranking.agreement import Pair, agreement, groups_of, read_pairs
from applications.ranking.choose import at_percentiles, by_prompt
from applications.tables import Names, TableError, read_csv, read_scores
from blemish.command import main
from detector.maps import Row
from shards.errors import MissingInputError

NAMES = Names({"x": "set/x.png", "y": "set/y.png", "z": "other/y.png"})


def rows(*pars: float) -> list[Row]:
    return [Row(f"k{i}", par, 0.0, 0.0, 0, 8, 8, f"k{i}.png") for i, par in enumerate(pars)]


def test_percentiles_of_the_ranking():
    found = at_percentiles(rows(*np.linspace(0, 1, 9)), 1)
    assert [(number, members[0].key) for number, members in found] == [
        (0, "k0"), (25, "k2"), (50, "k4"), (75, "k6"), (100, "k8"),
    ]  # fmt: skip
    assert [len(members) for _, members in at_percentiles(rows(0, 1), 4)] == [2] * 5
    ends = dict(at_percentiles(rows(*range(10)), 4))
    assert [row.key for row in ends[0]] == ["k0", "k1", "k2", "k3"]
    assert [row.key for row in ends[100]] == ["k6", "k7", "k8", "k9"]


def test_best_of_several():
    ranked = rows(0.0, 0.1, 0.2, 0.3)  # k0 is best
    groups = by_prompt(ranked, {"k3": "a", "k1": "a", "k0": "b", "k2": ""})
    assert {prompt: [row.key for row in members] for prompt, members in groups.items()} == {"a": ["k1", "k3"]}


def test_agreement_counts_ties_half():
    pairs = [Pair("a", "b", 1), Pair("c", "d", 0), Pair("e", "f", 1), Pair("g", "h", 0.5)]
    scores = {"a": 0.1, "b": 0.2, "c": 0.1, "d": 0.3, "e": 0.5, "f": 0.5, "g": 0, "h": 1}
    found = agreement("PAR", pairs, scores, lower_is_better=True)
    assert found.found.value == (1 + 0 + 0.5 + 0.5) / 4
    assert (found.ties, found.pairs) == (1, 4)
    assert found.found.low is not None
    assert found.found.high is not None
    assert 0 <= found.found.low <= 0.5 <= found.found.high <= 1
    assert agreement("other", pairs[:2], scores, lower_is_better=False).found.value == 0.5
    with pytest.raises(TableError, match="missing for 1 pictures of the pairs, such as h"):
        agreement("PAR", pairs, {key: value for key, value in scores.items() if key != "h"}, True)


def test_pairs_that_share_pictures_are_drawn_together():
    pairs = [Pair("a", "b", 1), Pair("c", "d", 1), Pair("d", "e", 1), Pair("b", "c", 1), Pair("x", "y", 1)]
    group = groups_of(pairs)
    assert len(set(group[:4])) == 1
    assert group[4] != group[0]
    one = agreement("s", pairs[:4], dict(zip("abcde", range(5), strict=True)), True)
    assert (one.found.value, one.found.low) == (1, None)  # one group: nothing to draw


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x,q,x", "row 1: 'q' is no picture there"),
        ("x,y.png,x", "'y.png' is the name of several pictures"),
        ("x,x.png,x", "row 1: x is paired with itself"),
        ("x,y,z", "preferred is 'z'; allowed are x, y, a, b and tie"),
        ("x,y,", "preferred is ''"),
    ],
)
def test_bad_pairs(line: str, said: str, tmp_path: Path):
    file = tmp_path / "pairs.csv"
    file.write_text(f"a,b,preferred\n{line}\n")
    with pytest.raises(TableError, match=said) as caught:
        read_pairs(file, NAMES)
    assert "\n" not in str(caught.value)


def test_good_pairs(tmp_path: Path):
    file = tmp_path / "pairs.csv"
    file.write_text("a,b,preferred\nx,y,x\nx.png,set/y.png,b\nz,x,TIE\n")
    assert read_pairs(file, NAMES) == [Pair("x", "y", 1), Pair("x", "y", 0), Pair("z", "x", 0.5)]


def test_bad_tables(tmp_path: Path):
    file = tmp_path / "scores.csv"
    with pytest.raises(MissingInputError, match="does not exist"):
        read_csv(file, ("key",))
    for text, said in (
        ("name\nx\n", "has no column key, score"),
        ("key,score\n", "holds no rows"),
        ("key,score\nx,nan\n", "the score is 'nan'"),
        ("key,score\nx,1\nx,2\n", "x has two scores, 1 and 2"),
        ("key,score\nq,1\n", "'q' is no picture there"),
    ):
        file.write_text(text)
        with pytest.raises(TableError, match=said):
            read_scores(file, NAMES)
    file.write_bytes(b"key,score\n\xff,1\n")
    with pytest.raises(TableError, match="cannot be read as UTF-8"):
        read_scores(file, NAMES)


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """A folder as `detect predict` leaves it, of four pictures of two prompts."""
    pictures, folder = tmp_path / "pictures", tmp_path / "seen"
    pictures.mkdir()
    (folder / "masks").mkdir(parents=True)
    made = []
    for number in range(4):
        Image.new("RGB", (32, 32), (60 * number, 0, 0)).save(pictures / f"p{number}.png")
        (pictures / f"p{number}.txt").write_text("cat" if number < 2 else "dog")
        mask = np.zeros((32, 32), np.uint8)
        mask[: 4 * (3 - number)] = 255
        Image.fromarray(mask).save(folder / "masks" / f"p{number}.png")
        par = (3 - number) / 8
        made.append(dict(zip(Row.__dataclass_fields__, (f"p{number}", par, par, par, 128 * (3 - number), 32, 32,
                                                        str(pictures / f"p{number}.png")), strict=True)))  # fmt: skip
    (folder / "par.json").write_text(json.dumps({"threshold": 0.5, "pictures": made[::-1]}))
    (folder / "predict.json").write_text(json.dumps({"input": str(pictures)}))
    return folder


def test_the_verbs(seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert main(["rank", "percentiles", str(seen), "--out", str(out)]) == 0
    assert "4 pictures ranked by PAR, 0.00% to 37.50%" in capsys.readouterr().out
    assert (out / "percentiles.webp").exists()
    assert main(["rank", "best", str(seen), "--out", str(out)]) == 0
    with (out / "best.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["prompt"], line["rank"], line["key"]) for line in lines] == [
        ("cat", "1", "p1"), ("cat", "2", "p0"), ("dog", "1", "p3"), ("dog", "2", "p2"),
    ]  # fmt: skip
    assert sorted(path.name for path in (out / "best").iterdir()) == ["p1.png", "p3.png"]
    pairs, other = tmp_path / "pairs.csv", tmp_path / "other.csv"
    pairs.write_text("a,b,preferred\np0,p1,p1\np2.png,p3.png,p2.png\n")
    other.write_text("key,score\np0,1\np1,1\np2,5\np3,4\n")
    capsys.readouterr()
    words = ["rank", "agree", str(seen), "--pairs", str(pairs), "--out", str(out)]
    assert main([*words, "--higher", f"other={other}"]) == 0
    said = capsys.readouterr().out
    assert "| PAR | 50.0% (0.0% to 100.0%) | 0 | 2 |" in said
    assert "| other | 75.0% (50.0% to 100.0%) | 1 | 2 |" in said
    assert main([*words, "--lower", "other"]) == 2
    assert "needed is NAME=CSV" in capsys.readouterr().err


def test_what_is_no_folder_of_predictions(tmp_path: Path, seen: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["rank", "percentiles", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "has no predict.json" in capsys.readouterr().err
    (seen / "par.json").write_text('{"pictures": [{"key": "a"}]}')
    assert main(["rank", "percentiles", str(seen), "--out", str(tmp_path / "o")]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_other_measures_need_the_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("torch")
    try:
        import pyiqa  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        assert main(["rank", "score", str(tmp_path), "--metric", "musiq", "--out", str(tmp_path / "s.csv")]) == 2
        assert "pyiqa is not installed" in capsys.readouterr().err
