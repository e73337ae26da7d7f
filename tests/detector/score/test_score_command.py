"""The command: layouts of predictions, files written, one clear line on bad input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detector.score.__main__ import main
from detector.score.counts import NUM_BINS
from detector.score.counts_io import COUNTS_NAME, load_counts
from detector.score.metrics import METRICS
from detector.score.read import PredictionFolder
from shards.reader import ShardReader

ROOT = Path(__file__).resolve().parents[3]
SIDE = 32  # of the samples of `finished_run`: eight, of which three have a square of 8 x 14 artifact pixels


def png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def predict(folder: Path, run: Path, how: str, flaw: int = 0) -> Path:
    """The truth itself as a prediction, with `flaw` rows of the square missed."""
    reader = ShardReader(run)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(len(reader)):
        mask = reader.mask(i).copy()
        mask[4 : 4 + flaw] = 0
        key = reader.key(i)
        if how == "heat":
            png(folder / "heat" / f"{key}.png", np.where(mask == 1, 200, 30).astype(np.uint8))
        elif how == "masks":
            png(folder / "masks" / f"{key}.png", mask * 255)
        elif how == "npy":
            np.save(folder / f"{key}.npy", np.where(mask == 1, 0.8, 0.1).astype(np.float16))
        elif how == "ones":
            png(folder / f"{key}.png", mask)
        elif how == "uri":
            png(folder / f"{Path(reader.meta(i).source.uri).stem}.png", mask * 255)
    return folder


def scored(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *arguments: object) -> str:
    """The one line on stderr."""
    code, out, err = scored(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("how", "kind"), [("heat", "scores"), ("masks", "masks"), ("npy", "scores"), ("ones", "masks")]
)
def test_every_layout_gives_the_same_areas(how, kind, finished_run, tmp_path, capsys):
    folder = predict(tmp_path / "pred", finished_run, how, flaw=2)
    code, out, err = scored(
        capsys, "--pred", folder, "--truth", finished_run, "--out", tmp_path / "out", "--bootstrap", 50
    )
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "out/scores.json").read_text())
    assert found["settings"]["kind"] == kind
    assert found["metrics"]["artifact_iou"]["value"] == pytest.approx(6 / 8)
    assert found["metrics"]["artifact_iou_per_image"]["value"] == pytest.approx((5 + 3 * 6 / 8) / 8)
    assert found["metrics"]["precision"]["value"] == 1
    assert found["metrics"]["fpr_clean"]["value"] == 0
    assert (found["metrics"]["pixel_ap"]["value"] is None) == (kind == "masks")
    assert "artifact IoU (data set), %" in out
    assert out == (tmp_path / "out/scores.md").read_text()


def test_json_has_every_field_of_the_schema(finished_run, tmp_path, capsys):
    folder = predict(tmp_path / "pred", finished_run, "heat")
    scored(capsys, "--pred", folder, folder, "--truth", finished_run, "--out", tmp_path / "out", "--bootstrap", 20)
    found = json.loads((tmp_path / "out/scores.json").read_text(), parse_constant=pytest.fail)
    assert set(found) == {
        "schema", "schema_version", "settings", "truth", "training_seeds", "predictions", "missing", "extra", "metrics",
        "notes",
    }  # fmt: skip
    assert list(found["metrics"]) == sorted(metric.key for metric in METRICS)
    for one in found["metrics"].values():
        assert set(one) == {
            "name", "higher_is_better", "value", "low", "high", "per_seed", "seed_std", "resamples", "reason",
        }  # fmt: skip
    assert found["training_seeds"] == 2
    assert found["truth"]["artifact_pixels"] == 3 * 8 * 14
    assert (found["truth"]["artifact_images"], found["truth"]["clean_images"]) == (3, 5)
    areas = {name: found["predictions"][1][name] for name in ("tp", "fp", "fn", "tn")}
    assert areas == {"tp": 336, "fp": 0, "fn": 0, "tn": 8 * SIDE * SIDE - 336}
    rows = list(csv.DictReader((tmp_path / "out/per_image.csv").open()))
    assert len(rows) == 16
    assert (rows[5]["key"], rows[5]["tp"], rows[5]["training_seed"]) == ("00001_00001", "112", "1")
    assert (rows[0]["kld"], rows[0]["artifact_iou"]) == ("", "1")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "counts.npz", "per_image.csv", "scores.json", "scores.md", "view",
    ]  # fmt: skip


def test_two_runs_are_compared_from_their_files(finished_run, tmp_path, capsys):
    worse, better = (predict(tmp_path / name, finished_run, "heat", flaw) for name, flaw in (("a", 4), ("b", 2)))
    scored(capsys, "--pred", worse, "--truth", finished_run, "--out", tmp_path / "base", "--bootstrap", 20)
    code, out, _ = scored(
        capsys, "--pred", better, "--truth", finished_run, "--out", tmp_path / "ours", "--against", tmp_path / "base",
        "--bootstrap", 20,
    )  # fmt: skip
    assert code == 0
    assert "Paired difference" in out
    assert "+25.00" in out
    found = json.loads((tmp_path / "ours/scores.json").read_text())["differences"]
    assert found["metrics"]["artifact_iou"]["value"] == pytest.approx(0.25)
    assert found["metrics"]["precision"]["value"] == 0
    stored = load_counts(tmp_path / "ours")
    assert stored[0].histograms.shape == (8, 2, NUM_BINS)


def test_files_named_after_the_source(finished_run, tmp_path, capsys):
    only = finished_run / "shards/00001.tar"  # uris repeat between the two shards
    folder = predict(tmp_path / "pred", only, "uri")
    code, out, _ = scored(capsys, "--pred", folder, "--truth", only, "--match", "uri", "--bootstrap", 0)
    assert code == 0
    assert "| artifact IoU (data set), % " in out
    assert "100.00" in out
    assert "two samples are named 0 é" in refused(capsys, "--pred", folder, "--truth", finished_run, "--match", "uri")


def test_missing_predictions(finished_run, tmp_path, capsys):
    folder = predict(tmp_path / "pred", finished_run, "masks")
    for key in ("00000_00002", "00001_00003"):
        (folder / "masks" / f"{key}.png").rename(folder / "masks" / f"{key}.jpg")
    err = refused(capsys, "--pred", folder, "--truth", finished_run)
    assert "2 of 8 truth samples have no prediction, the first is 00000_00002" in err
    assert "2 files there match no sample, such as 00000_00002.jpg" in err
    out = scored(capsys, "--pred", folder, "--truth", finished_run, "--allow-missing", "--bootstrap", 0)[1]
    assert "6 images, 2 with artifacts" in out
    assert "2 truth samples had no prediction and were left out" in out
    assert "2 files belong to no truth sample" in out
    png(tmp_path / "else/other.png", np.zeros((SIDE, SIDE), np.uint8))
    err = refused(capsys, "--pred", tmp_path / "else", "--truth", finished_run, "--allow-missing")
    assert "8 of 8 truth samples have no prediction" in err


def test_soft_truth_of_the_heat_scores(finished_run, tmp_path, capsys):
    folder = predict(tmp_path / "pred", finished_run, "heat")
    arguments = ("--truth", finished_run, "--out", tmp_path / "out", "--bootstrap", 0)
    scored(capsys, "--pred", folder, "--truth-heat", folder / "heat", *arguments)
    found = json.loads((tmp_path / "out/scores.json").read_text())
    assert found["settings"]["truth_of_heat_scores"] == "heat maps"
    assert (found["metrics"]["heat_mse"]["value"], found["metrics"]["heat_sim"]["value"]) == (0, pytest.approx(1))
    (folder / "heat/00000_00000.png").rename(tmp_path / "moved.png")
    other = predict(tmp_path / "other", finished_run, "heat")
    err = refused(capsys, "--pred", other, "--truth-heat", folder / "heat", *arguments)
    assert "1 of 8 samples have no truth heat map" in err


def test_one_image_and_a_set_without_artifacts_are_stated(tmp_path, run_maker, capsys):
    run_maker(tmp_path / "clean", num_shards=1)
    folder = predict(tmp_path / "pred", tmp_path / "clean", "heat")
    out = scored(capsys, "--pred", folder, "--truth", tmp_path / "clean", "--bootstrap", 20)[1]
    assert "n/a (the truth has no artifact pixel)" in out
    assert "- The truth has no artifact pixel: artifact metrics are n/a." in out
    run_maker(tmp_path / "one", num_shards=1, rows=1)
    folder = predict(tmp_path / "lone", tmp_path / "one", "masks")
    out = scored(capsys, "--pred", folder, "--truth", tmp_path / "one")[1]
    assert "- One image only: no intervals." in out
    assert " .. " not in out


def damage(name: str, content: bytes):
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def replace(array: np.ndarray):
    def change(folder: Path) -> None:
        png(folder / "masks/00000_00000.png", array)

    return change


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (damage("masks/00000_00000.png", b"not a picture"), (), "00000_00000.png: not a readable PNG"),
        (damage("masks/00000_00000.npy", b"x"), (), "00000_00000.npy and 00000_00000.png are both there"),
        (replace(np.full((SIDE, SIDE), 128, np.uint8)), (), "not a mask; its values must be 0 and 1"),
        (replace(np.zeros((SIDE, SIDE, 3), np.uint8)), (), "mode RGB; a prediction is an 8-bit grey PNG"),
        (replace(np.zeros((8, 8), np.uint8)), ("--meet", "same"), "prediction is 8x8, truth 32x32"),
        (None, ("--threshold", "1.5"), "threshold is 1.5; allowed is 0 < threshold <= 1"),
        (None, ("--meet", "big"), "meet is 'big'; allowed are 'truth', 'same' or a side"),
        (None, ("--kind", "scores"), "has masks/ but no folder with scores"),
        (None, ("--bootstrap", "-1"), "--bootstrap is -1"),
        (None, ("--against", "nowhere"), "nowhere/counts.npz does not exist"),
        (None, ("--pred", "nowhere"), "predictions nowhere: no such folder"),
        (None, ("--truth", "nowhere"), "shards nowhere do not exist"),
    ],
)
def test_bad_input_is_one_line(change, options, message, finished_run, tmp_path, capsys):
    folder = predict(tmp_path / "pred", finished_run, "masks")
    if change:
        change(folder)
    assert message in refused(capsys, "--pred", folder, "--truth", finished_run, *options)


def test_an_empty_folder_an_empty_tar_and_another_schema(finished_run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "no prediction in" in refused(capsys, "--pred", tmp_path / "empty", "--truth", finished_run)
    (tmp_path / "empty.tar").write_bytes(b"\0" * 10240)
    assert "no sample in" in refused(capsys, "--pred", tmp_path / "empty", "--truth", tmp_path / "empty.tar")
    tar = finished_run / "shards/00000.tar"
    tar.write_bytes(tar.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 9'))
    folder = predict(tmp_path / "pred", finished_run / "shards/00001.tar", "masks")
    assert "schema version 9" in refused(capsys, "--pred", folder, "--truth", finished_run)


def test_two_runs_with_the_same_keys_are_not_mixed(finished_run, run_maker, tmp_path, capsys):
    run_maker(tmp_path / "second")
    folder = predict(tmp_path / "pred", finished_run, "masks")
    err = refused(capsys, "--pred", folder, "--truth", finished_run, tmp_path / "second")
    assert "two samples are named 00000_00000" in err
    assert "score the runs one by one" in err


@pytest.mark.parametrize(
    ("values", "kind"),
    [([[0, 1], [0, 0]], "masks"), ([[0, 255], [0, 0]], "masks"), ([[0, 0], [0, 7]], "scores")],
)
def test_pixels_of_the_whole_set_tell_masks_from_scores(values, kind, tmp_path):
    for i, one in enumerate(values):
        png(tmp_path / f"{i}.png", np.array([one], np.uint8))
    folder = PredictionFolder(tmp_path)
    assert folder.settle(["0", "1"]) == kind
    assert folder.read("1").max() == pytest.approx(7 / 255 if kind == "scores" else 0)


@pytest.mark.parametrize("values", [[[0, 1], [0, 255]], [[0, 128], [0, 255]]])
def test_unclear_pixels_are_asked_about(values, tmp_path):
    for i, one in enumerate(values):
        png(tmp_path / f"{i}.png", np.array([one], np.uint8))
    with pytest.raises(ValueError, match="say which with --kind"):
        PredictionFolder(tmp_path).settle(["0", "1"])
    assert PredictionFolder(tmp_path, "scores").settle(["0", "1"]) == "scores"


def test_arrays_are_not_unpickled_and_bounded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "b.npy", np.array([[0.5, np.nan]]))
    np.save(tmp_path / "c.npy", np.zeros((2, 2, 1), np.float32))
    folder = PredictionFolder(tmp_path, "scores")
    for name, message in (("a", "not a readable .npy"), ("b", "finite and within 0..1"), ("c", "height x width")):
        with pytest.raises(ValueError, match=message):
            folder.read(name)


def test_damaged_counts_are_refused(finished_run, tmp_path, capsys):
    folder = predict(tmp_path / "pred", finished_run, "heat")
    out = tmp_path / "out"
    scored(capsys, "--pred", folder, "--truth", finished_run, "--out", out, "--bootstrap", 0)
    data = (out / COUNTS_NAME).read_bytes()
    (out / COUNTS_NAME).write_bytes(data[: len(data) // 2])
    assert "cannot be read" in refused(capsys, "--pred", folder, "--truth", finished_run, "--against", out)


def test_scoring_loads_no_heavy_library():
    code = (
        "import sys, detector.score.command\n"
        "heavy = {'torch', 'mmengine', 'mmseg', 'transformers', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_named_the_other_way_are_not_to_be_predicted_again(finished_run, tmp_path, capsys):
    only = finished_run / "shards/00001.tar"
    by_uri, by_key = predict(tmp_path / "uri", only, "uri"), predict(tmp_path / "key", only, "masks")
    err = refused(capsys, "--pred", by_uri, "--truth", only)
    assert "4 are named by their uri: score with --match uri" in err
    err = refused(capsys, "--pred", by_key, "--truth", only, "--match", "uri")
    assert "4 are named by their key: score with --match key" in err
    png(tmp_path / "else/other.png", np.zeros((SIDE, SIDE), np.uint8))
    err = refused(capsys, "--pred", tmp_path / "else", "--truth", only)
    assert "name the files by the samples' keys (or, with --match uri, by their pictures), or predict them" in err


def test_annotations_in_a_file_are_never_to_be_deleted(finished_run, tmp_path, capsys):
    coco = tmp_path / "labels.json"
    coco.write_text('{"images": [], "annotations": []}')
    folder = predict(tmp_path / "pred", finished_run, "masks")
    err = refused(capsys, "--pred", folder, "--truth", coco)
    assert "labels.json is a JSON file (COCO annotations, for example), no shard; name a run" in err
    assert "delete" not in err
    err = refused(capsys, "--pred", coco, "--truth", finished_run)
    assert "labels.json is a file; predictions are a folder of masks or heat maps" in err
    png(tmp_path / "mask.png", np.zeros((SIDE, SIDE), np.uint8))
    assert "mask.png is a picture, no shard" in refused(capsys, "--pred", folder, "--truth", tmp_path / "mask.png")
