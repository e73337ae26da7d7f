"""Pictures, names and folders that `predict` must survive: a result, a reject or one line, and nothing outside OUT."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from checkpoint_cases import GOOD
from harness import batches, run, run_apart
from mutate import mutated
from PIL import Image
from red_squares import picture

from detector.checkpoint import load_detector
from detector.predict import Options, predict
from shards.claims import LOCK
from shards.locks import Locks
from shards.schema import encode_sample


@pytest.fixture(scope="module", autouse=True)
def imports():
    """What is imported late is imported here, outside of any time limit."""
    load_detector(GOOD)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "pictures" / "a.png")
    return tmp_path


def save(path: Path, level: int = 90, side: int = 24) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), level, np.uint8)).save(path, "PNG")


def look(place: Path, where: str = "pictures", codes: tuple[int, ...] = (0,), out: str = "seen", *more: str):
    return run(["detector", "predict", str(GOOD), where, "--out", out, "--device", "cpu", *more], place, out, codes)


def rejects(place: Path) -> dict[str, str]:
    lines = (place / "seen" / "rejects.jsonl").read_text().splitlines()
    return {Path(one["uri"]).name: one["reason"] for one in map(json.loads, lines)}


def heats(place: Path) -> set[str]:
    return {path.name for path in (place / "seen" / "heat").iterdir()}


def test_special_files_are_rejected_and_never_opened(folder):
    os.mkfifo(folder / "pictures" / "fifo.png")
    (folder / "pictures" / "zero.png").symlink_to("/dev/zero")
    (folder / "pictures" / "gone.png").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "pictures" / "socket.png"))
    look(folder)
    assert rejects(folder) == dict.fromkeys(("fifo.png", "zero.png", "gone.png", "socket.png"), "unreadable")
    assert heats(folder) == {"a.png"}


def test_a_file_of_any_size_is_not_read_whole(folder):
    with (folder / "pictures" / "sparse.png").open("wb") as file:
        file.truncate(3 << 30)
    look(folder)
    assert rejects(folder) == {"sparse.png": "too_large"}


def test_long_names(folder):
    nested = Path(*("d" * 60 for _ in range(5)))
    save(folder / "pictures" / nested / "b.png")
    save(folder / "pictures" / ("n" * 251 + ".png"))
    save(folder / "pictures" / ("n" * 253))
    look(folder)
    assert len(heats(folder)) == 4
    assert max(len(name.encode()) for name in heats(folder)) < 200


def test_names_that_meet_are_told_apart(folder):
    for name in ("A.png", "a.jpg", "b/c.png", "b__c.png"):
        save(folder / "pictures" / name)
    look(folder)
    assert len({name.casefold() for name in heats(folder)}) == 5


KEYS = ("/tmp/{}", "../../{}", "..", "", ".", "k" * 300, "a b\n{}", "é{}", "con", "00000_00000")


def shard(path: Path, keys: list[str]) -> None:
    with tarfile.open(path, "w") as tar:
        for at, key in enumerate(keys):
            members = encode_sample(dataclasses.replace(picture(at, True), key="00000_00000"))
            for name, data in members.items():
                told = tarfile.TarInfo(f"{key}.{name}")
                told.size = len(data)
                tar.addfile(told, io.BytesIO(data))


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_shards_stay_within_out(key, tmp_path):
    key = key.format("CANARY")
    (tmp_path / "run").mkdir()
    shard(tmp_path / "run" / "00000.tar", [key])
    done = look(tmp_path, "run", (0, 2))
    assert not Path("/tmp/CANARY.png").exists()
    assert not Path("/tmp/CANARY.webp").exists()
    if done.code == 0:
        assert len(heats(tmp_path)) == 1


def test_another_picture_under_the_same_name_is_looked_at(folder):
    look(folder)
    before = (folder / "seen" / "heat" / "a.png").read_bytes()
    stamp = (folder / "seen" / "heat" / "a.png").stat().st_mtime_ns
    look(folder)
    assert (folder / "seen" / "heat" / "a.png").stat().st_mtime_ns == stamp
    save(folder / "pictures" / "a.png", 200, 40)
    look(folder)
    with Image.open(folder / "seen" / "heat" / "a.png") as heat:
        assert heat.size == (40, 40)
    save(folder / "pictures" / "a.png")
    look(folder)
    assert (folder / "seen" / "heat" / "a.png").read_bytes() == before
    (folder / "pictures" / "a.png").write_bytes(b"no picture")
    save(folder / "pictures" / "b.png")
    look(folder)
    assert heats(folder) == {"b.png"}  # no map is left of what is no picture any more


@pytest.mark.parametrize("kind", ["heat/a.png", "masks/a.png", "overlays/a.webp"])
@pytest.mark.parametrize("damage", ["cut", "empty", "fifo", pytest.param("other", marks=pytest.mark.slow)])
def test_damaged_maps_are_made_anew(kind, damage, folder):
    look(folder)
    path = folder / "seen" / kind
    whole = path.read_bytes()
    path.unlink()
    if damage == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes({"cut": whole[:60], "empty": b"", "other": b"no picture"}[damage])
    look(folder)
    if not (damage in ("cut", "other") and kind.startswith("overlays")):  # what is in an overlay is not looked at
        assert path.read_bytes() == whole


@pytest.mark.parametrize("text", ["", "[]", "7", "[" * 50_000, '{"threshold": 1e999}', '{"threshold": 0.5'])
def test_a_damaged_mark_is_one_line(text, folder):
    look(folder)
    (folder / "seen" / "predict.json").write_text(text)
    look(folder, codes=(2,))


def test_damaged_tables_are_written_again(folder):
    look(folder)
    table = (folder / "seen" / "par.csv").read_bytes()
    (folder / "seen" / "par.csv").write_bytes(b"\0")
    (folder / "seen" / "par.json").write_text("[")
    look(folder)
    assert (folder / "seen" / "par.csv").read_bytes() == table


def test_two_at_once(folder):
    (folder / "seen").mkdir()
    lock = Locks(folder / "seen" / LOCK)
    assert lock.take(0)
    assert "at work there" in look(folder, codes=(2,)).err
    assert os.listdir(folder / "seen") == [LOCK]
    lock.release(0)
    look(folder)


@pytest.mark.parametrize("device", ["meta", "mps", "xpu", "abacus", "", "cuda:x", "cuda:999999", "cpu:0", "cuda:-1"])
def test_devices(device, folder):
    done = run(["detector", "predict", str(GOOD), "pictures", "--out", "seen", "--device", device], folder, codes=(2,))
    assert "device" in done.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--threshold", "nan"),
        ("--threshold", "inf"),
        ("--threshold", "-1"),
        ("--batch", "-1"),
        ("--batch", "1000000000"),
    ],
)
def test_options(option, value, folder):
    look(folder, "pictures", (2,), "seen", option, value)
    assert not (folder / "seen").exists()


@pytest.mark.parametrize("where", ["x" * 5000, "a\0b", "\udcff", "", "[", "**/" * 200])
def test_inputs_that_are_none(where, folder):
    look(folder, where, (0, 2))


def test_a_heat_that_is_not_finite_is_a_reject(folder, monkeypatch):
    from detector.heat import Detector

    whole = Detector.look
    monkeypatch.setattr(
        Detector, "look", lambda self, prepared: [heat * float("nan") for heat in whole(self, prepared)]
    )
    look(folder)
    assert rejects(folder) == {"a.png": "not_finite"}
    assert heats(folder) == set()


def test_what_is_seen_does_not_depend_on_what_is_in_memory(folder, monkeypatch):
    for at in range(6):
        save(folder / "pictures" / f"{at}.png", 20 * at, 30 + at)
    rows = predict(GOOD, str(folder / "pictures"), folder / "one", Options(batch=3, device="cpu")).rows
    monkeypatch.setattr("detector.predict.IN_FLIGHT", 1)
    alone = predict(GOOD, str(folder / "pictures"), folder / "two", Options(batch=3, device="cpu")).rows
    assert [row.key for row in alone] == [row.key for row in rows]
    for one, other in zip(rows, alone, strict=True):
        assert abs(one.mean - other.mean) < 0.005


@pytest.mark.parametrize("seeds", batches(ci=10, slow=300, size=10))
def test_mutated_pictures(seeds, folder):
    data = io.BytesIO()
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        data = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(data, kind)
        for seed in seeds:
            (folder / "pictures" / f"{kind}{seed}").write_bytes(mutated(data.getvalue(), seed, 64))
    look(folder)
    told = json.loads((folder / "seen" / "par.json").read_text())["pictures"]
    assert len(told) + len(rejects(folder)) == 4 * len(seeds) + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "mode", "kind", "count"), [((8192, 8192), "RGBA", "png", 4), ((4000, 3000), "RGB", "jpg", 96)]
)
def test_memory_of_large_pictures(side, mode, kind, count, tmp_path):
    """The largest pictures that are taken, and as many photographs as six batches."""
    (tmp_path / "pictures").mkdir()
    small = np.random.default_rng(0).integers(0, 256, (64, 64, len(mode)), np.uint8)
    data = io.BytesIO()
    Image.fromarray(small).resize(side).save(data, {"png": "PNG", "jpg": "JPEG"}[kind], compress_level=1)
    for at in range(count):
        (tmp_path / "pictures" / f"{at}.{kind}").write_bytes(data.getvalue() + bytes(at))  # no two alike
    command = ["detector", "predict", str(GOOD), "pictures", "--out", "seen", "--device", "cpu"]
    run_apart(command, tmp_path, "seen", (0,), seconds=10 * count)


@pytest.mark.slow
def test_two_processes_at_once(folder):
    for at in range(200):
        save(folder / "pictures" / f"{at}.png", at, 200)
    command = [sys.executable, "-m", "detector", "predict", str(GOOD), "pictures", "--out", "seen", "--device", "cpu"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    both = []
    for _ in range(2):
        both.append(subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True))
        time.sleep(0.3)
    for one in both:
        said = one.communicate()[1]
        assert one.returncode == 0 or "at work" in said
    assert len(heats(folder)) == 201
