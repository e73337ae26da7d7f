"""Counts and scores of earlier runs, predictions and mask files that are not what they were written as."""

from __future__ import annotations

import io
import json
import os
import zipfile

import numpy as np
import pytest
from harness import batches, run
from mutate import mutated, mutated_json
from PIL import Image
from red_squares import write_squares

from detector.score.counts import ScoreError
from detector.score.counts_io import COUNTS_NAME, load_counts

SCORE = ["detector", "score", "--pred", "heat", "--truth", "shards", "--bootstrap", "0"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A folder with shards, predictions of them and their scores."""
    folder = tmp_path_factory.mktemp("scored")
    write_squares(folder / "shards", 6)
    (folder / "heat").mkdir()
    rng = np.random.default_rng(0)
    for row in range(6):
        Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save(folder / "heat" / f"00000_{row:05d}.png")
    run([*SCORE, "--out", "scores"], folder, "scores", (0,), seconds=120)
    return folder


def refused(data: bytes, folder) -> str:
    (folder / COUNTS_NAME).write_bytes(data)
    with pytest.raises(ScoreError) as caught:
        load_counts(folder)
    return str(caught.value)


def npz(**arrays) -> bytes:
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def arrays_of(scored) -> dict:
    with np.load(scored / "scores" / COUNTS_NAME) as stored:
        return dict(stored)


def header(shape: str) -> bytes:
    """An npz with one array of 8 bytes whose header says otherwise."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("heat.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(8))
    return data.getvalue()


@pytest.mark.parametrize("shape", ["(10**9,)", "(99999999999,)", "(-1,)", "(2, 3)", "()", "'x'", "(" * 200 + ")" * 200])
def test_headers_of_arrays(shape, tmp_path):
    assert "cannot be read" in refused(header(shape), tmp_path)


def test_arrays_that_unpack_to_more_than_is_read(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("keys.npy", "w") as file:
        for _ in range(600):
            file.write(bytes(1 << 20))
    assert len(data.getvalue()) < 1 << 20
    assert "more than" in refused(data.getvalue(), tmp_path)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "7",
        "[]",
        "{}",
        '{"version": 2}',
        '{"version": "2", "seeds": []}',
        '{"version": 2, "seeds": [{}]}',
        "[" * 9999,
    ],
)
def test_heads(head, scored, tmp_path):
    refused(npz(**{**arrays_of(scored), "head": np.array(head)}), tmp_path)


@pytest.mark.parametrize(("name", "value"), [("threshold", 2.0), ("kind", "x"), ("meet", "0"), ("stretched", "1")])
def test_facts(name, value, scored, tmp_path):
    arrays = arrays_of(scored)
    head = json.loads(str(arrays["head"]))
    head["seeds"][0][name] = value
    refused(npz(**{**arrays, "head": np.array(json.dumps(head))}), tmp_path)


@pytest.mark.parametrize("seeds", batches(ci=20, slow=400, size=20))
def test_mutated_counts(seeds, scored, tmp_path):
    whole = (scored / "scores" / COUNTS_NAME).read_bytes()
    for seed in seeds:
        (tmp_path / COUNTS_NAME).write_bytes(mutated(whole, seed))
        try:
            assert len(load_counts(tmp_path)) == 1
        except ScoreError as error:
            assert "\n" not in str(error)  # noqa: PT017  either outcome is right


@pytest.mark.parametrize("seeds", batches(ci=10, slow=100, size=10))
def test_mutated_scores_of_tasks(seeds, scored, tmp_path):
    told = json.loads((scored / "scores" / "scores.json").read_text())
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / COUNTS_NAME).write_bytes((scored / "scores" / COUNTS_NAME).read_bytes())
    for seed in seeds:
        (tmp_path / "s" / "scores.json").write_bytes(mutated_json({"truth": told["truth"]}, seed))
        run(["detector", "tasks", "a=s"], tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "text", "huge npy", "nan npy", "object npy", "npz"])
def test_predictions(kind, scored, tmp_path):
    write_squares(tmp_path / "shards", 6)
    (tmp_path / "heat").mkdir()
    for row in range(5):
        data = (scored / "heat" / f"00000_{row:05d}.png").read_bytes()
        (tmp_path / "heat" / f"00000_{row:05d}.png").write_bytes(data)
    last = tmp_path / "heat" / "00000_00005"
    if kind == "fifo":
        os.mkfifo(last.with_suffix(".png"))
    elif kind == "text":
        last.with_suffix(".png").write_text("no picture")
    elif kind == "huge npy":
        with zipfile.ZipFile(io.BytesIO(header("(1000000000, 1000000)"))) as archive:
            last.with_suffix(".npy").write_bytes(archive.read("heat.npy"))
    elif kind == "nan npy":
        np.save(last.with_suffix(".npy"), np.full((32, 32), np.nan, np.float32))
    elif kind == "object npy":
        np.save(last.with_suffix(".npy"), np.array([{}], object), allow_pickle=True)
    else:
        last.with_suffix(".npy").write_bytes(npz(x=np.zeros(3)))
    run([*SCORE, "--out", "scores"], tmp_path, "scores", (2,))


@pytest.mark.parametrize("damage", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_mask_files_are_made_anew(damage, tmp_path):
    from checkpoint_cases import GOOD

    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "pictures" / "a.png")
    command = ["region_select", "masks", str(GOOD), "pictures", "--out", "masks", "--tau", "0.1"]
    run(command, tmp_path, "masks", (0,), seconds=60)
    path = tmp_path / "masks" / "masks" / "a.png"
    whole = path.read_bytes()
    path.write_bytes(damage)
    run(command, tmp_path, "masks", (0,))
    assert path.read_bytes() == whole
    (tmp_path / "masks" / "masks.json").write_text("[")
    run(command, tmp_path, "masks", (2,))
