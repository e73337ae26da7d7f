"""The whole import of RichHF on files written byte by byte: exact samples, exact reasons, resume, bounded reading."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import richhf_bytes as made
from PIL import Image

from shards.__main__ import main
from shards.check import check_run
from shards.human import richhf
from shards.reader import ShardReader

pa = pytest.importorskip("pyarrow", reason="the tables extra is not installed")
pq = pytest.importorskip("pyarrow.parquet")

EMPTY = made.encode(made.grey_map(3))
# One of three marked a large box, two a smaller one inside.
THREE = made.grey_map(3, (1, 8, 8, 88, 88), (2, 24, 24, 72, 72))
TWO = made.grey_map(2, (1, 8, 8, 88, 88), (2, 24, 24, 72, 72))
FOUR = made.grey_map(4, (1, 8, 8, 88, 88), (2, 16, 16, 80, 80), (3, 24, 24, 72, 72))
THIRDS, EIGHTHS, QUARTERS = (7 / 12, 0.25, 0.5, 1.0), (1 / 8, 0.25, 0.5, 1.0), (0.25, 0.25, 0.5, 1.0)


def expected_box(side: int = 96) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side * 3 // 4, side // 4 : side * 3 // 4] = 1
    return mask


def train_file() -> bytes:
    """Every odd case of the format, one record each; comments say what must become of it."""
    png, jpeg = (made.encode(THREE, kind) for kind in ("PNG", "JPEG"))
    records = [
        made.frame(made.record("train/uid-0.png", png, EMPTY, QUARTERS)),  # sample, three by the map
        made.frame(made.record("train/uid-1.png", jpeg, EMPTY, QUARTERS, packed=False)),  # sample from a JPEG map
        made.frame(made.record("train/uid-2.png", made.encode(TWO, "PNG"), EMPTY, THIRDS)),  # two annotators
        made.frame(made.record("train/uid-3.png", made.encode(FOUR, "PNG"), EMPTY, THIRDS)),  # sample, three of four
        made.frame(made.record("train/uid-4.png", EMPTY, EMPTY, THIRDS)),  # clean sample, three by the scores
        made.frame(made.record("train/uid-5.png", EMPTY, EMPTY, EIGHTHS)),  # two by the scores
        made.frame(made.record("train/uid-6.png", EMPTY, EMPTY, QUARTERS)),  # nothing tells
        made.frame(made.record("train/uid-7.png", png, EMPTY, THIRDS), bad_data=True),  # checksum
        made.frame(made.record("train/uid-8.png", png, EMPTY, THIRDS)),  # no table holds its picture
        made.frame(made.record("train/uid-9.png", EMPTY, png, QUARTERS, tokens=b"")),  # clean, by misalignment
        made.frame(made.record("train/uid-10.png", b"no picture", EMPTY, THIRDS)),  # map unreadable
        made.frame(made.record("train/../../x y.png", png, EMPTY, THIRDS)),  # a uid that is none
        made.frame(made.record("train/uid-12.png", png, EMPTY, THIRDS)),  # picture damaged
        made.frame(made.record("train/uid-13.png", png, EMPTY, THIRDS)),  # RGBA named .jpg, twice the size
        made.frame(b"\x0a\x05abc"),  # no Example
        made.frame(made.example({"artifact_map": made.bytes_feature(png)})),  # no filename
    ]
    return b"".join(records) + made.frame(made.record("train/uid-16.png", png, EMPTY, THIRDS))[:-7]  # cut


REASONS = {
    2: "few_annotators",
    5: "few_annotators",
    6: "annotators_unknown",
    7: "corrupt_record",
    8: "picture_missing",
    10: "mask_values",
    11: "corrupt_record",
    12: "truncated",
    14: "corrupt_record",
    15: "corrupt_record",
    16: "corrupt_file",
}
PICTURES = {
    "uid-0": made.photo(0),
    "uid-1": made.photo(1, kind="PNG"),
    "uid-3": made.photo(3),
    "uid-4": made.photo(4),
    "uid-9": made.photo(9),
    "uid-12": made.photo(12)[:200],
    "uid-13": made.photo(13, (192, 192), "PNG", "RGBA"),
    "uid-100": made.photo(100),
}


def pick_a_pic(path: Path, uids: list[str], row_group: int = 4) -> None:
    """A table in Pick-a-Pic's columns: uids alternate between the two places, strangers fill the other."""
    rows = []
    for number, uid in enumerate(uids):
        ours, other = (uid, PICTURES[uid]), (f"other-{number}", b"\xff\xd8 not decoded")
        left, right = (ours, other) if number % 2 else (other, ours)
        row = {"image_0_uid": left[0], "jpg_0": left[1], "image_1_uid": right[0], "jpg_1": right[1]}
        rows.append({**row, "caption": f"prompt of {uid}", "label_0": 0.5})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """tmp/richhf/*.tfrecord and tmp/pictures/*.parquet."""
    (tmp_path / "richhf").mkdir()
    (tmp_path / "richhf" / "train.tfrecord").write_bytes(train_file())
    test = made.record("test/uid-100.png", made.encode(THREE, "PNG"), EMPTY, THIRDS)
    (tmp_path / "richhf" / "test.tfrecord").write_bytes(made.frame(test))
    pick_a_pic(tmp_path / "pictures" / "train-00000-of-00002.parquet", ["uid-0", "uid-1", "uid-3", "uid-4"], 2)
    pick_a_pic(tmp_path / "pictures" / "train-00001-of-00002.parquet", ["uid-9", "uid-0", "uid-12", "uid-13"])
    pick_a_pic(tmp_path / "pictures" / "test-00000-of-00001.parquet", ["uid-100"])
    return tmp_path


def command(inputs: Path, *more: str, out: str = "out") -> int:
    where = ["--pictures", str(inputs / "pictures"), "--out", str(inputs / out)]
    return main(["import", "richhf", str(inputs / "richhf"), *where, "--per-shard", "4", *more])


def excluded(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "excluded.jsonl").read_text().splitlines()]


def test_exactly_these_samples_and_these_reasons(inputs, capsys):
    assert command(inputs) == 0
    out = inputs / "out"
    told = capsys.readouterr().out
    train = {sample.meta.source.index: sample for sample in ShardReader(out / "train")}
    assert sorted(train) == [0, 1, 3, 4, 9, 13]
    left = [one for one in excluded(out) if one["split"] == "train"]
    assert {one["index"]: one["reason"] for one in left} == REASONS
    assert [one["uri"] for one in left if one["index"] == 2] == ["train/train/uid-2.png"]
    for split in ("train", "test"):
        assert check_run(out / split).ok
    assert "| train |" in told.replace("  ", "")
    report = json.loads((out / "report.json").read_text())
    assert report["score_scale"] == "unit"
    counts = report["splits"]["train"]
    assert counts["records"] == 17
    assert counts["annotators"] == {"2": 2, "3": 7, "4": 1, "unknown": 1}
    assert counts["kept_by_rule"] == 8
    assert (counts["samples"], counts["artifact"], counts["clean"]) == (6, 4, 2)
    assert report["splits"]["test"]["samples"] == 1
    assert "7,801" in told
    assert "500" in told
    assert "no dev file" in told


def test_pixels_captions_and_facts_of_each_sample(inputs):
    assert command(inputs) == 0
    train = {sample.meta.source.index: sample for sample in ShardReader(inputs / "out" / "train")}
    for index in (0, 3):
        assert np.array_equal(train[index].mask, expected_box())
        shown = np.asarray(Image.open(io.BytesIO(PICTURES[f"uid-{index}"])))
        assert np.array_equal(train[index].image, shown)
    inner = np.s_[26:70, 26:70]  # JPEG moves the box's edge by a pixel or two
    assert train[1].mask[inner].all()
    assert not train[1].mask[:20].any()
    assert not train[4].mask.any()
    assert np.array_equal(train[13].mask, expected_box(192))
    assert train[13].image.shape == (192, 192, 3)
    assert train[0].meta.source.caption == "prompt of uid-0"
    facts = train[3].meta.extra
    assert (facts["annotators"], facts["annotators_by"]) == (4, "artifact map")
    assert facts["contradiction"] == "scores: 3"
    assert facts["scores"]["artifact_score"] == 0.25
    assert (facts["token_labels"], facts["map"], facts["split"]) == ("1 0 1", "PNG 0..255 96x96", "train")
    assert (train[4].meta.extra["annotators_by"], train[9].meta.extra["annotators_by"]) == (
        "scores",
        "misalignment map",
    )
    assert train[9].meta.extra["token_labels"] == ""
    assert train[13].meta.extra["map"] == "PNG 0..255 96x96"


def test_undecided_records_can_be_kept_and_two_marks_can_be_enough(inputs):
    assert command(inputs, "--undecided", "keep", "--rule", "two_marks") == 0
    train = {sample.meta.source.index: sample for sample in ShardReader(inputs / "out" / "train")}
    assert 6 not in train  # kept by the rule now, but no table holds its picture
    left = {one["index"]: one["reason"] for one in excluded(inputs / "out") if one["split"] == "train"}
    assert left == {**REASONS, 6: "picture_missing"}
    mask = np.zeros((96, 96), np.uint8)
    mask[16:80, 16:80] = 1
    assert np.array_equal(train[3].mask, mask)


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".index.npz")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_command_again_makes_only_what_is_missing(inputs, monkeypatch):
    assert command(inputs) == 0
    whole = tree(inputs / "out")
    for name in ("00000.stats.json", "00000.tar", "00003.stats.json"):
        (inputs / "out" / "train" / "shards" / name).unlink()
    # With the pictures at hand the tables are not searched again.
    monkeypatch.setattr("shards.human.picture_store.search_table", lambda *_: pytest.fail("searched again"))
    assert command(inputs) == 0
    assert tree(inputs / "out") == whole


def test_a_search_that_was_stopped_goes_on_behind_the_last_table(inputs, monkeypatch):
    import shards.human.picture_store

    search, seen = shards.human.picture_store.search_table, []

    def until_second(path, store, missing):
        seen.append(path.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        search(path, store, missing)

    monkeypatch.setattr("shards.human.picture_store.search_table", until_second)
    assert command(inputs) == 130
    first = list(seen)
    assert command(inputs) == 0
    assert seen == [*first, first[1], "train-00001-of-00002.parquet"]
    assert len(ShardReader(inputs / "out" / "train")) == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "richhf" / "test.tfrecord").write_bytes(train_file()), "items: 1 there, 17 now"),
        (lambda root: (root / "pictures" / "train-00001-of-00002.parquet").unlink(), "tables: 3 there, 2 now"),
    ],
)
def test_a_changed_input_is_an_error_that_says_what(inputs, capsys, change, words):
    assert command(inputs) == 0
    change(inputs)
    assert command(inputs) == 2
    assert words in capsys.readouterr().err


def test_another_rule_in_the_same_folder_is_an_error(inputs, capsys):
    assert command(inputs) == 0
    assert command(inputs, "--rule", "two_marks") == 2
    assert "'two_thirds' there, 'two_marks' now" in capsys.readouterr().err


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 150710286\n"


def spoil(root: Path, name: str, content: bytes) -> None:
    (root / name).write_bytes(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: spoil(root, "richhf/train.tfrecord", POINTER), "Git LFS pointer of 74 bytes"),
        (lambda root: spoil(root, "pictures/train-00000-of-00002.parquet", POINTER), "git lfs pull"),
        (lambda root: spoil(root, "pictures/train-00000-of-00002.parquet", b"PAR1 and no more"), "no readable Parquet"),
        (lambda root: spoil(root, "richhf/train.tfrecord", b"nothing of the kind"), "is no TFRecord file"),
        (
            lambda root: (root / "richhf" / "train.tfrecord").rename(root / "richhf" / "a.tfrecord"),
            "no split in the name",
        ),
        (lambda root: shutil.rmtree(root / "richhf"), "does not exist"),
        (lambda root: [path.unlink() for path in (root / "richhf").iterdir()], "neither"),
        (lambda root: shutil.rmtree(root / "pictures"), "holds no"),
    ],
)
def test_what_the_user_can_mend_is_one_line(inputs, capsys, change, words):
    change(inputs)
    assert command(inputs) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_tables_without_the_columns_are_named(inputs, capsys):
    pq.write_table(pa.table({"uid": ["a"]}), inputs / "pictures" / "train-00000-of-00002.parquet")
    assert command(inputs) == 2
    assert "no column image_0_uid, jpg_0, image_1_uid, jpg_1; its columns are uid" in capsys.readouterr().err


def test_records_without_pictures_ask_for_the_tables(inputs, capsys):
    assert main(["import", "richhf", str(inputs / "richhf"), "--out", str(inputs / "out")]) == 2
    assert "--pictures is missing" in capsys.readouterr().err


def mirror(path: Path, cells, maps, split: str = "train") -> None:
    """A table of the joined mirror; `cells` makes the picture's cell, `maps` gives the type and cell of a map."""
    kind, cell = maps
    rows = {
        "filename": ["train/uid-0.png", "train/uid-4.png", "train/uid-2.png"],
        "image": [cells(PICTURES[uid]) for uid in ("uid-0", "uid-4", "uid-0")],
        "caption": ["a", "b", "c"],
        "artifact_map": pa.array([cell(THREE), cell(made.grey_map(3)), cell(TWO)], kind),
        "misalignment_map": pa.array([cell(made.grey_map(3))] * 3, kind),
    }
    names = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
    scores = [QUARTERS, THIRDS, QUARTERS]
    rows |= {name: pa.array([one[place] for one in scores], pa.float32()) for place, name in enumerate(names)}
    path.mkdir(exist_ok=True)
    pq.write_table(pa.table(rows), path / f"{split}-00000-of-00001.parquet", row_group_size=2)


FLOATS, NUMBERS = pa.list_(pa.list_(pa.float32())), pa.list_(pa.list_(pa.list_(pa.uint8(), 1)))
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.mark.parametrize(
    ("maps", "form"),
    [
        ((FLOATS, lambda grey: (grey / 255).tolist()), "float32 0..1"),
        ((FLOATS, lambda grey: grey.tolist()), "float32 0..255"),
        ((NUMBERS, lambda grey: grey[:, :, None].tolist()), "uint8 0..255"),
        ((pa.binary(), lambda grey: made.encode(grey, "PNG")), "PNG 0..255"),
        ((IMAGE, lambda grey: {"bytes": made.encode(grey, "PNG"), "path": None}), "PNG 0..255"),
    ],
)
def test_the_joined_mirror_whatever_its_maps_are(tmp_path, maps, form, capsys):
    mirror(tmp_path / "mirror", lambda data: {"bytes": data, "path": None}, maps)
    assert main(["import", "richhf", str(tmp_path / "mirror"), "--out", str(tmp_path / "out")]) == 0
    samples = list(ShardReader(tmp_path / "out" / "train"))
    assert [sample.meta.source.index for sample in samples] == [0, 1]
    assert np.array_equal(samples[0].mask, expected_box())
    assert not samples[1].mask.any()
    assert [sample.meta.source.caption for sample in samples] == ["a", "b"]
    assert samples[0].meta.extra["map"] == f"{form} 96x96"
    assert [(one["index"], one["reason"]) for one in excluded(tmp_path / "out")] == [(2, "few_annotators")]
    assert form in capsys.readouterr().out


def test_the_mirror_takes_no_other_pictures(tmp_path, capsys):
    mirror(tmp_path / "mirror", lambda data: data, (pa.binary(), made.encode))
    where = ["--out", str(tmp_path / "out"), "--pictures", str(tmp_path)]
    assert main(["import", "richhf", str(tmp_path / "mirror"), *where]) == 2
    assert "the tables of the mirror hold their pictures" in capsys.readouterr().err


def test_row_groups_without_a_wanted_uid_are_not_read(tmp_path, monkeypatch):
    import shards.human.picture_store

    pick_a_pic(tmp_path / "train-0.parquet", ["uid-0", "uid-1", "uid-3", "uid-4"], 1)
    read, hits = [], shards.human.picture_store.find_hits

    def spy(table, path, group, missing):
        read.append(group)
        return hits(table, path, group, missing)

    monkeypatch.setattr("shards.human.picture_store.find_hits", spy)
    store = shards.human.picture_store.PictureStore(tmp_path / "store", frozenset({"uid-3", "zzz"}))
    shards.human.picture_store.gather([tmp_path / "train-0.parquet"], store, lambda _: None)
    assert read == [2]
    assert store.get("uid-3") == (PICTURES["uid-3"], "prompt of uid-3")
    assert store.missing() == {"zzz"}


def test_the_bar_of_judging_counts_what_the_rule_rejects(inputs, monkeypatch):
    seen = []

    class Kept(richhf.Progress):
        def close(self):
            seen.append((self.text, self.rejected))
            super().close()

    monkeypatch.setattr(richhf, "Progress", Kept)
    assert command(inputs) == 0
    late = {"picture_missing", "truncated"}  # known when the pictures are read
    assert ("judging", sum(reason not in late for reason in REASONS.values())) in seen
