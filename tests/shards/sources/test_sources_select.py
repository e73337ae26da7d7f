"""Which pictures are used: by lot, size, aspect and PAR; and what is left out is told."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hps_tools import SIZES, hps_set, picture

from shards.errors import ConfigError, MissingInputError, SourceError
from shards.source import Reject, Source, open_source
from shards.sources.select import ParTable, Selection


def uris(source: Source) -> list[str]:
    return [item.uri for item in source]


@pytest.fixture
def tars(tmp_path: Path) -> str:
    return hps_set(tmp_path / "set")


def name_of(number: int) -> str:
    return f"data-{number // 8:06d}.tar#{number:06d}"


def test_by_lot_the_same_everywhere_and_independent_of_order(tars: str, tmp_path: Path):
    chosen = uris(open_source("webdataset", tars=tars, select={"count": 7}))
    # By hand: the seven smallest sums of seed and name, in the order of the tars.
    lots = sorted(range(24), key=lambda n: hashlib.sha256(f"0/{name_of(n)}".encode()).digest())
    assert chosen == [name_of(n) for n in sorted(lots[:7])]
    shutil.copytree(tmp_path / "set", tmp_path / "elsewhere")
    turned = [str(tmp_path / "elsewhere" / f"data-{n:06d}.tar") for n in (2, 0, 1)]
    assert sorted(uris(open_source("webdataset", tars=turned, select={"count": 7}))) == chosen
    assert uris(open_source("webdataset", tars=tars, select={"count": 7, "seed": 1})) != chosen
    # More of them are those and others.
    assert set(chosen) < set(uris(open_source("webdataset", tars=tars, select={"count": 9})))


def test_by_size_and_aspect(tars: str):
    source = open_source("webdataset", tars=tars, select={"max_side": 112, "max_aspect": 1.5})
    assert uris(source) == [name_of(n) for n in range(24) if SIZES[n % 4] == (96, 96)]
    assert source.selection() == {
        "listed": 24,
        "chosen": 6,
        "not_drawn": 0,
        "left_out": {"aspect": 12, "too_large": 6},
    }
    left = list(source.left_out())
    assert len(left) == 18
    assert [one.uri for one in left] == sorted(one.uri for one in left)
    assert left[0] == Reject(name_of(1), "aspect", "112x64 pixels; longer / shorter side may be 1.5")
    assert len(open_source("webdataset", tars=tars, select={"min_side": 65})) == 6
    assert source.describe()["items"] == 6
    assert "selection" not in open_source("webdataset", tars=tars).describe()


def test_a_draw_examines_no_more_than_it_needs(tars: str):
    source = open_source("webdataset", tars=tars, select={"count": 3, "max_aspect": 1.0})
    numbers = source.selection()
    assert len(source) == numbers["chosen"] == 3
    assert numbers["chosen"] + numbers["not_drawn"] + sum(numbers["left_out"].values()) == numbers["listed"] == 24
    assert len(list(source.left_out())) == sum(numbers["left_out"].values())


def test_too_few_that_fit(tars: str):
    with pytest.raises(SourceError, match=r"10 pictures were asked for and 6 of 24 fit \(aspect 18\)"):
        open_source("webdataset", tars=tars, select={"count": 10, "max_aspect": 1.0})


def test_a_damaged_tar_stays_a_reject_whatever_is_chosen(tars: str, tmp_path: Path):
    path = tmp_path / "set" / "data-000001.tar"
    path.write_bytes(path.read_bytes()[:30_000])
    source = open_source("webdataset", tars=tars, select={"count": 2})
    items = list(source)
    assert sum(isinstance(item, Reject) and item.reason == "corrupt_tar" for item in items) == 1
    assert len(items) == 3


@pytest.mark.parametrize("form", ["uri.csv", "key.csv", "name.csv", "pictures.json", "plain.json"])
def test_by_par_of_a_table(tars: str, tmp_path: Path, form: str):
    values = {n: n / 100 for n in range(24) if n != 5}
    path = tmp_path / form
    if form == "uri.csv":
        path.write_text("uri,par,max\n" + "".join(f"{name_of(n)},{v},1\n" for n, v in values.items()))
    elif form == "key.csv":
        path.write_text("key,par\n" + "".join(f"{n:06d},{v}\n" for n, v in values.items()))
    elif form == "name.csv":
        path.write_text("par,name\n" + "".join(f"{v},{n:06d}\n" for n, v in values.items()))
    elif form == "pictures.json":
        rows = [{"key": f"k{n}", "uri": name_of(n), "par": v} for n, v in values.items()]
        path.write_text(json.dumps({"threshold": 0.5, "pictures": rows}))
    else:
        path.write_text(json.dumps({name_of(n): v for n, v in values.items()}))
    source = open_source("webdataset", tars=tars, select={"par": str(path), "max_par": 0.07})
    assert uris(source) == [name_of(n) for n in range(8) if n != 5]
    numbers = source.selection()
    assert numbers["left_out"] == {"high_par": 16, "no_par": 1}
    assert numbers["par_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_by_par_of_sums_when_a_picture_is_read(tmp_path: Path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = []
    for number in range(4):
        data = picture(number)
        (folder / f"{number}.png").write_bytes(data)
        if number != 3:
            rows.append(f"{hashlib.sha256(data).hexdigest()},{number / 10}\n")
    (tmp_path / "par.csv").write_text("sha256,par\n" + "".join(rows))
    source = open_source("folder", root=str(folder), select={"par": str(tmp_path / "par.csv"), "max_par": 0.1})
    assert [getattr(item, "reason", "item") for item in source] == ["item", "item", "high_par", "no_par"]
    assert source[2].uri == "2.png"


def test_folders_choose_too(tmp_path: Path):
    for number, size in enumerate(SIZES):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number, "JPEG", size))
    (tmp_path / "4.jpg").write_bytes(b"no picture")
    source = open_source("folder", root=str(tmp_path), select={"max_aspect": 2.0})
    # What has no size to judge is judged when it is read.
    assert [getattr(item, "reason", item.uri) for item in source] == ["0.jpg", "1.jpg", "2.jpg", "not_image"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uri,par\na,1.5\n", "row 1 is"),
        ("uri,par\na,0.5\nb,nan\n", "row 2 is"),
        ("uri,value\na,0.5\n", "it needs par"),
        ("other,par\na,0.5\n", "one of uri, key, name, sha256"),
        ("uri,par\n", "names no picture"),
        ("uri,par\na,0.5\na,0.6\n", "'a' has two values"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str):
    (tmp_path / "par.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        ParTable(str(tmp_path / "par.csv"), 0.1)
    (tmp_path / "par.json").write_text("{")
    with pytest.raises(ConfigError, match="not usable as JSON"):
        ParTable(str(tmp_path / "par.json"), 0.1)
    with pytest.raises(MissingInputError, match="cannot be read"):
        ParTable(str(tmp_path / "no.csv"), 0.1)


def test_a_short_name_that_fits_two_pictures_is_refused(tmp_path: Path):
    (tmp_path / "par.csv").write_text("key,par\n1,0.5\n")
    table = ParTable(str(tmp_path / "par.csv"), 0.6)
    assert table.refuse("a/1.png") is None
    assert table.refuse("a/1.png") is None
    (tmp_path / "flat.csv").write_text("key,par\na__1,0.5\nc.tar#2,0.7\n")
    flat = ParTable(str(tmp_path / "flat.csv"), 0.6)
    assert flat.refuse("a/1.png") is None
    assert flat.refuse("b/1.png") == Reject("b/1.png", "no_par", "flat.csv does not name it")
    assert flat.refuse("c.tar#2") == Reject("c.tar#2", "high_par", "PAR 0.7; at most 0.6")
    with pytest.raises(ConfigError, match=r"'1' fits a/1\.png and b/1\.png"):
        table.refuse("b/1.png")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cuont": 3}, "unknown option 'select.cuont'; did you mean 'count'"),
        ({"count": -1}, "must be 0 or more"),
        ({"max_aspect": 0.5}, "1 or more, or 0"),
        ({"par": "x.csv"}, "must be given, 0 to 1"),
        ({"count": "many"}, "select.count must be int"),
    ],
)
def test_choices_that_make_no_sense(tars: str, values: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        open_source("webdataset", tars=tars, select=values)
    assert not Selection().active
