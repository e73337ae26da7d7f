"""What `predict` writes, pixel by pixel, and what it does with inputs of every kind."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
from PIL import Image

from detector.__main__ import main
from detector.heat import Detector
from detector.inputs import make_keys, open_inputs
from detector.maps import overlay
from detector.predict import Options, predict
from detector.train import WEIGHTS
from shards.errors import ConfigError, ResumeError
from shards.reader import ShardReader


@pytest.fixture
def pictures(tmp_path):
    """Three pictures of different sizes and formats, a text and a file that is no picture."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name, size in (("a.png", (32, 32)), ("b.jpg", (50, 40)), ("more/a.webp", (31, 64))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture at all")
    (folder / "notes.txt").write_text("no input")
    return folder


def read(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_files_of_a_folder(trained, pictures, tmp_path):
    out = tmp_path / "out"
    found = predict(trained / WEIGHTS, str(pictures), out, Options(threshold=0.3))
    detector = Detector(trained / WEIGHTS)
    assert {row.key for row in found.rows} == {"a", "b", "more__a"}
    for row in found.rows:
        image = read(row.uri)
        heat = detector.heat([image])[0]
        assert heat.shape == image.shape[:2]
        stored, mask = read(out / "heat" / f"{row.key}.png"), read(out / "masks" / f"{row.key}.png")
        assert stored.dtype == np.uint8
        assert np.abs(stored.astype(int) - np.rint(255 * heat)).max() <= 1
        assert set(np.unique(mask)) <= {0, 255}
        assert np.mean((mask == 255) != (heat >= 0.3)) < 0.01
        assert row.par == np.count_nonzero(mask) / mask.size
        assert (row.height, row.width) == image.shape[:2]
        assert read(out / "overlays" / f"{row.key}.webp").shape == image.shape
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert [(os.path.basename(r["uri"]), r["reason"]) for r in rejects] == [("broken.png", "not_image")]


def test_best_first_in_both_tables(trained, pictures, tmp_path):
    predict(trained / WEIGHTS, str(pictures), tmp_path / "out")
    with (tmp_path / "out" / "par.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = json.loads((tmp_path / "out" / "par.json").read_text())
    assert [row["key"] for row in rows] == [row["key"] for row in told["pictures"]]
    assert told["threshold"] == 0.5
    order = [(float(row["par"]), float(row["max"])) for row in rows]
    assert order == sorted(order)


def test_shards_keep_their_keys(trained, squares, tmp_path):
    run = squares(tmp_path / "run", 6)
    predict(trained / WEIGHTS, str(run), tmp_path / "out", Options(batch=4))
    keys = {ShardReader(run).key(i) for i in range(6)}
    assert {path.stem for path in (tmp_path / "out" / "heat").iterdir()} == keys
    assert {path.stem for path in (tmp_path / "out" / "masks").iterdir()} == keys


def test_the_batch_size_changes_nothing_that_is_seen(trained, squares, tmp_path):
    run = squares(tmp_path / "run", 6)
    for batch in (1, 6):
        predict(trained / WEIGHTS, str(run), tmp_path / str(batch), Options(batch=batch))
    for path in (tmp_path / "1" / "heat").iterdir():
        one, six = read(path).astype(int), read(tmp_path / "6" / "heat" / path.name).astype(int)
        assert np.abs(one - six).max() <= 1


def test_the_same_command_goes_on_and_another_is_refused(trained, squares, tmp_path):
    run, out = squares(tmp_path / "run", 4), tmp_path / "out"
    first = predict(trained / WEIGHTS, str(run), out)
    table = (out / "par.csv").read_bytes()
    kept, removed = (out / "heat" / f"{row.key}.png" for row in first.rows[:2])
    removed.unlink()
    stamp = kept.stat().st_mtime_ns
    again = predict(trained / WEIGHTS, str(run), out)
    assert removed.exists()
    assert kept.stat().st_mtime_ns == stamp
    assert again.rows == first.rows
    assert (out / "par.csv").read_bytes() == table
    with pytest.raises(ResumeError, match=r"threshold: 0.5 there, 0.7 now"):
        predict(trained / WEIGHTS, str(run), out, Options(threshold=0.7))


def test_one_picture_and_a_glob(pictures):
    assert open_inputs(str(pictures / "a.png")).keys == ["a"]
    assert open_inputs(str(pictures / "*.png")).keys == ["a", "broken"]
    assert open_inputs(str(pictures / "**" / "a.*")).keys == ["a", "more__a"]


def test_keys_never_meet():
    from pathlib import Path

    paths = [Path(name) for name in ("a.png", "a.jpg", "x/a.png", "x__a.png", "x/y.z.png")]
    assert make_keys(paths) == ["a.png", "a.jpg", "x__a.png", "x__a.png-2", "x__y.z"]
    assert len(set(make_keys(paths * 2))) == 10


def test_an_overlay_solved_by_hand():
    image, heat = np.full((5, 5, 3), 100, np.uint8), np.zeros((5, 5), np.float32)
    heat[2, 2] = 1.0
    drawn = overlay(image, heat, (heat > 0.5).astype(np.uint8) * 255)
    assert drawn[0, 0].tolist() == [100, 100, 100]
    assert drawn[2, 2].tolist() == [round(0.4 * 100 + 0.6 * 255), 40, 40]
    assert drawn[1, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.safetensors", "{pictures}"], "does not exist"),
        (["{weights}", "nowhere"], "input nowhere does not exist"),
        (["{weights}", "{empty}"], "holds no pictures and no shards"),
        (["{weights}", "{pictures}", "--threshold", "1.5"], "--threshold must lie between 0 and 1"),
        (["{weights}", "{pictures}", "--batch", "0"], "--batch must be 1 or more"),
        (["{weights}", "{pictures}", "--device", "abacus"], "device 'abacus' is unknown"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(trained, pictures, tmp_path, capsys, words, told):
    (tmp_path / "empty").mkdir()
    places = {"weights": trained / WEIGHTS, "pictures": pictures, "empty": tmp_path / "empty"}
    out = tmp_path / "out"
    assert main(["predict", *(word.format(**places) for word in words), "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert "\n" not in said
    assert not out.exists()


def test_options_are_checked():
    with pytest.raises(ConfigError, match="threshold"):
        Options(threshold=0.0)
