"""Training, prediction and scores on shards in an S3 server: what they give is what they give on the local copy."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import FaultyServer, backend, upload

from detector.__main__ import main
from detector.config import load_config
from detector.train import WEIGHTS, Job, train
from shards.errors import SourceError
from shards.stores import Address, ObjectStore

MINI = "configs/detector/swin_mini.py"
SHARDS, VAL = "s3://bucket/squares", "s3://bucket/held_out"
Squares = Callable[..., Path]


@pytest.fixture
def local(squares: Squares, reading: FaultyServer, tmp_path: Path) -> tuple[Path, Path]:
    """(training shards, validation shards) of this machine; the bucket holds the same."""
    found = squares(tmp_path / "squares", 8), squares(tmp_path / "held_out", 4, first=100)
    for folder in found:
        upload(folder, folder.name)
    reading.requests.clear()
    return found


def trained_on(out: Path, overrides: tuple[str, ...], shards: object, val: object, workers: int = 0) -> bytes:
    """The bytes of the weights after six iterations."""
    more = (f"train_dataloader.num_workers={workers}", f"val_dataloader.num_workers={workers}")
    config = load_config(MINI, (*overrides, *more, "train_cfg.val_interval=1000"), 6)
    train(Job(config, "swin_mini", out, (str(shards),), (str(val),)))
    return (out / WEIGHTS).read_bytes()


def tar_gets(server: FaultyServer) -> int:
    return sum(method == "GET" and path.endswith(".tar") for method, path in server.requests)


def test_weights_are_those_of_the_local_copy(
    local: tuple[Path, Path], reading: FaultyServer, overrides: tuple[str, ...], tmp_path: Path
):
    expected = trained_on(tmp_path / "local", overrides, *local)
    assert trained_on(tmp_path / "remote", overrides, SHARDS, VAL) == expected
    assert tar_gets(reading) == 2, "each shard is fetched whole, once"
    told = json.loads((tmp_path / "remote/train.json").read_text())
    same = json.loads((tmp_path / "local/train.json").read_text())
    assert told["shards"] == [{**same["shards"][0], "path": SHARDS}]
    assert told["validation_best"] == same["validation_best"]
    reading.requests.clear()
    assert trained_on(tmp_path / "again", overrides, SHARDS, VAL) == expected
    assert tar_gets(reading) == 0, "what this machine has is fetched again"


def test_without_room_on_this_machine_workers_read_by_range(
    local: tuple[Path, Path],
    reading: FaultyServer,
    overrides: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    expected = trained_on(tmp_path / "local", overrides, *local)
    monkeypatch.setenv("BLEMISH_CACHE_GB", "0")
    met: list[str] = []

    def fault(method: str, path: str, query: str) -> str:
        if path.endswith(".tar") and len(met) < 9:
            met.append(path)
            return ("error", "short", "slow")[len(met) % 3]
        return ""

    reading.fault = fault
    assert trained_on(tmp_path / "remote", overrides, SHARDS, VAL, workers=2) == expected
    assert len(met) == 9
    assert tar_gets(reading) > 40
    assert "have no room in the cache" in capsys.readouterr().err
    assert list((tmp_path / "cache").glob("*.tar*")) == []


@pytest.mark.parametrize(("end", "workers"), [("gone", 2), ("away", 0)])
def test_a_store_that_fails_for_good_is_one_line_and_the_same_command_resumes(
    end: str,
    workers: int,
    local: tuple[Path, Path],
    reading: FaultyServer,
    overrides: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("BLEMISH_CACHE_GB", "0")
    log, keys = tmp_path / "out/log.jsonl", backend().buckets["bucket"].keys
    name, taken = "squares/shards/00000.tar", []

    def fault(method: str, path: str, query: str) -> str:
        if log.exists() and len(log.read_text().splitlines()) >= 1 and path.endswith(name):
            if end == "away":
                return "error"
            if name in keys:
                taken.append(bytes(keys[name].value))
                del keys[name]
        return ""

    reading.fault = fault
    words = [
        "train",
        MINI,
        "--shards",
        SHARDS,
        "--val",
        VAL,
        "--out",
        str(tmp_path / "out"),
        "--iterations",
        "12" if workers else "4",
    ]
    for one in (*overrides, f"train_dataloader.num_workers={workers}"):
        words += ["--set", one]
    assert main(words) == 2
    whole = capsys.readouterr().err
    assert "Traceback" not in whole
    err = [line for line in whole.splitlines() if line.startswith("error: ")]
    said = {"gone": "is gone since it was listed", "away": "the store cannot be reached"}[end]
    assert len(err) == 1, err
    assert err[0].startswith(f"error: {SHARDS}")
    assert said in err[0]
    assert not (tmp_path / "out" / WEIGHTS).exists()
    reading.fault = lambda method, path, query: ""
    for one in taken:
        ObjectStore(Address(SHARDS)).put("shards/00000.tar", one)
    assert main(words) == 0
    monkeypatch.delenv("BLEMISH_CACHE_GB")
    here = [str(local[0]) if word == SHARDS else str(local[1]) if word == VAL else word for word in words]
    assert main([str(tmp_path / "local") if word == str(tmp_path / "out") else word for word in here]) == 0
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (tmp_path / "local" / WEIGHTS).read_bytes()


def test_a_shard_that_was_changed_meanwhile_ends_the_training(
    local: tuple[Path, Path], overrides: tuple[str, ...], tmp_path: Path
):
    key = backend().buckets["bucket"].keys["squares/shards/00000.tar"]
    data = bytearray(key.value)
    data[2000] ^= 1
    key.value = bytes(data)
    with pytest.raises(SourceError, match=r"00000\.tar: its bytes are not those of its done mark"):
        trained_on(tmp_path / "out", overrides, SHARDS, VAL)
    assert not (tmp_path / "out").exists(), "nothing is begun"


def files(folder: Path, *names: str) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for name in names for path in (folder / name).rglob("*.*")}
    return {name: path.read_bytes() for name, path in sorted(found.items())}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "par.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "uri"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("gigabytes", ["1", "0"])
def test_predictions_and_scores_are_those_of_the_local_copy(
    gigabytes: str,
    local: tuple[Path, Path],
    reading: FaultyServer,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("BLEMISH_CACHE_GB", gigabytes)
    for where, name in ((SHARDS, "remote"), (str(local[0]), "local")):
        assert main(["predict", str(trained / WEIGHTS), where, "--out", str(tmp_path / name)]) == 0
        words = ["score", "--pred", str(tmp_path / name), "--truth", where, "--out", str(tmp_path / f"{name}_scores")]
        assert main([*words, "--bootstrap", "20"]) == 0
    names = ("heat", "masks", "overlays")
    assert files(tmp_path / "remote", *names) == files(tmp_path / "local", *names)
    assert rows(tmp_path / "remote") == rows(tmp_path / "local")
    one, other = tmp_path / "remote_scores", tmp_path / "local_scores"
    assert (one / "per_image.csv").read_bytes() == (other / "per_image.csv").read_bytes()
    assert files(one, "view/entries") == files(other, "view/entries")
    reading.fault = lambda method, path, query: "error" if path.endswith((".tar", "manifest.json")) else ""
    assert main(["predict", str(trained / WEIGHTS), SHARDS, "--out", str(tmp_path / "third")]) == 2
