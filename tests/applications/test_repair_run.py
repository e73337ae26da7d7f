"""`blemish repair` on folders and shards: files, resume, and one line for what is wrong."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from applications.repair import run as run_module
from applications.repair.options import EMBEDDED, RepairOptions
from applications.repair.run import groups, repair
from blemish.command import main
from shards.errors import ResumeError
from shards.reader import ShardReader

DETECTOR = "region_select/weights/swin_mini.safetensors"
SET = "miniworld/sets/v1/select"
OPTIONS = RepairOptions(device="cpu", rounds=2, least_crop=16)


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "repair.jsonl").read_text().splitlines()]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four wild pictures of the embedded world with captions, and a file that is no picture."""
    reader, folder = ShardReader(SET), tmp_path / "pictures"
    folder.mkdir()
    for index in (0, 1, 2, 3):
        key = reader.key(index)
        Image.fromarray(reader.image(index)).save(folder / f"{key}.png")
        (folder / f"{key}.txt").write_text(reader.meta(index).source.caption)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_files_and_records(pictures: Path, tmp_path: Path, painter: Any):
    out, inpainter = tmp_path / "out", painter((128, 128, 128))
    summary = repair(str(pictures), Path(DETECTOR), inpainter, out, OPTIONS)
    lines = lines_of(out)
    assert [line["key"] for line in lines] == [f"00000_0000{k}" for k in range(4)]
    assert (summary.pictures, summary.rejected) == (4, 1)
    assert "1 rejected" in summary.text(out)
    assert json.loads((out / "rejects.jsonl").read_text())["uri"].endswith("broken.png")
    marked = [line for line in lines if line["outcome"] != "clean"]
    assert marked
    assert sum(line["outcome"] == "clean" for line in lines) == summary.outcomes["clean"]
    assert (out / "sheets" / "00000.webp").exists()
    for line in lines:
        before = np.asarray(Image.open(pictures / f"{line['key']}.png"))
        after, changed, mask = (
            np.asarray(Image.open(out / folder / f"{line['key']}.png")) for folder in ("pictures", "changed", "masks")
        )
        assert (after[changed == 0] == before[changed == 0]).all()
        assert (mask > 0).sum() == line["artifact_pixels_before"]
        assert (changed > 0).sum() == line["changed_pixels"]
        assert line["par_after"] <= line["par_before"]
    prompts = {word for call in inpainter.calls for word in call[2]}
    assert prompts <= {path.read_text() for path in pictures.glob("*.txt")}


def digest(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_stopped_run_goes_on_to_the_same_bytes(
    pictures: Path, tmp_path: Path, painter: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "GROUP", 2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    repair(str(pictures), Path(DETECTOR), painter((128, 128, 128)), whole, OPTIONS)

    class Stops(painter):  # type: ignore[misc]
        def fill(self, *args: Any) -> Any:
            if self.calls:
                raise KeyboardInterrupt
            return super().fill(*args)

    with pytest.raises(KeyboardInterrupt):
        repair(str(pictures), Path(DETECTOR), Stops((128, 128, 128)), broken, OPTIONS)
    assert not (broken / "repair.jsonl").exists()
    again = painter((128, 128, 128))
    repair(str(pictures), Path(DETECTOR), again, broken, OPTIONS)
    assert digest(whole) == digest(broken)
    done = painter((128, 128, 128))
    repair(str(pictures), Path(DETECTOR), done, broken, OPTIONS)
    assert not done.calls
    with pytest.raises(ResumeError, match="holds another repair"):
        repair(str(pictures), Path(DETECTOR), done, broken, RepairOptions(device="cpu", seed=1))


def test_a_picture_that_changed_is_repaired_again(pictures: Path, tmp_path: Path, painter: Any):
    out = tmp_path / "out"
    repair(str(pictures), Path(DETECTOR), painter((128, 128, 128)), out, OPTIONS)
    shutil.copy(pictures / "00000_00000.png", pictures / "00000_00001.png")
    repair(str(pictures), Path(DETECTOR), painter((128, 128, 128)), out, OPTIONS)
    lines = lines_of(out)
    assert lines[0]["sha256"] == lines[1]["sha256"]
    (out / "changed" / "00000_00002.png").unlink()
    repair(str(pictures), Path(DETECTOR), painter((128, 128, 128)), out, OPTIONS)
    assert (out / "changed" / "00000_00002.png").exists()


def test_groups_hold_what_memory_holds(monkeypatch: pytest.MonkeyPatch):
    class Sized:
        def __init__(self, *costs: int) -> None:
            self.costs = costs

        def __len__(self) -> int:
            return len(self.costs)

        def cost(self, index: int) -> int:
            return self.costs[index]

    monkeypatch.setattr(run_module, "GROUP", 3)
    monkeypatch.setattr(run_module, "GROUP_COST", 10)
    assert list(groups(Sized(1, 1, 1, 1, 9, 9, 50, 1))) == [[0, 1, 2], [3, 4], [5], [6], [7]]  # type: ignore[arg-type]
    assert list(groups(Sized())) == []  # type: ignore[arg-type]


def test_the_command_with_the_embedded_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shard = next(Path(SET).glob("shards/*.tar"))
    few = tmp_path / "few"
    few.mkdir()
    reader = ShardReader(shard)
    for index in range(3):
        Image.fromarray(reader.image(index)).save(few / f"{index}.png")
    words = ["repair", str(few), "--detector", DETECTOR, "--inpainter", EMBEDDED, "--steps", "2", "--rounds", "1"]
    words += ["--device", "cpu", "--prompt", "a sign"]
    assert main([*words, "--out", str(tmp_path / "a"), "--zoom", "whole", "--no-check"]) == 0
    assert "3 pictures in" in capsys.readouterr().out
    told = json.loads((tmp_path / "a" / "run.json").read_text())
    assert (told["zoom"], told["check"], told["inpainter"]["kind"], told["prompt"]) == (0, False, "blended", "a sign")
    assert {line["attempts"][0]["box"][2] for line in lines_of(tmp_path / "a") if line["attempts"]} == {64}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--zoom", "0.5"], "--zoom is 0.5; allowed are 1 to 16, or whole"),
        (["--zoom", "near"], "--zoom is 'near'"),
        (["--threshold", "1"], "--threshold is 1; allowed is a number between 0 and 1"),
        (["--rounds", "0"], "--rounds is 0; allowed is a number from 1 to 100"),
        (["--no-check", "--rounds", "3"], "--no-check keeps what comes first; --rounds is 3"),
        (["--min-crop", "4"], "--min-crop is 4"),
        (["--strength", "0"], "--strength is 0"),
        (["--steps", "0"], "--steps is 0"),
        (["--size", "7"], "--size is 7"),
        (["--batch", "0"], "--batch is 0"),
        (["--detector", "nothing.safetensors"], "selector nothing.safetensors does not exist"),
        (["--inpainter", "out/nothing"], "no model folder out/nothing"),
        (["--device", "tpu"], "device 'tpu' is unknown"),
    ],
)
def test_bad_options_are_one_line(change: list[str], said: str, pictures: Path, capsys: pytest.CaptureFixture[str]):
    words = ["repair", str(pictures), "--detector", DETECTOR, "--inpainter", EMBEDDED, "--out", str(pictures / "out")]
    assert main([*words, *change]) == 2
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ")
    assert said in told
    assert "\n" not in told


def test_pictures_that_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    words = ["--detector", DETECTOR, "--inpainter", EMBEDDED, "--out", str(tmp_path / "out")]
    assert main(["repair", "no/pictures", *words]) == 2
    assert "no/pictures does not exist" in capsys.readouterr().err


def test_memory_holds_one_group_whatever_the_number_of_pictures(
    pictures: Path, tmp_path: Path, painter: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "GROUP", 1)
    held = []

    class Counting(painter):  # type: ignore[misc]
        def fill(self, *args: Any) -> Any:
            held.append(sum(type(one) is run_module.Work for one in gc.get_objects()))
            return super().fill(*args)

    for number in range(4):
        shutil.copy(pictures / "00000_00000.png", pictures / f"more{number}.png")
    gc.collect()
    before = sum(type(one) is run_module.Work for one in gc.get_objects())
    repair(str(pictures), Path(DETECTOR), Counting((128, 128, 128)), tmp_path / "out", OPTIONS)
    assert len(held) > 4
    assert max(held) - before == 1
