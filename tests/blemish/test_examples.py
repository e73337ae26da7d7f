"""Every verb's example does what it says, on tiny inputs that bear the names it uses.

Words are added to an example only to make it smaller. One run of the embedded world serves all that need a run.
"""

from __future__ import annotations

import dataclasses
import io
import shlex
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import richhf_bytes
from example_cases import CASES, RUN, SMALL_RUN, Case
from PIL import Image
from red_squares import picture, write_squares
from transformers import SegformerConfig, SegformerForSemanticSegmentation
from verb_tools import all_examples, all_verbs

from blemish.command import main
from shards.config import INSTALLED
from shards.schema import CorruptionMeta, RegionMeta, make_key
from shards.writer import RunInfo, RunWriter


def write_pictures(folder: Path) -> None:
    """Two pictures, and beside their folder 69 tars with one each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(2):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a red bus")
    data = (folder / "0.png").read_bytes()
    for number in range(69):
        with tarfile.open(folder.parent / f"data-{number:06d}.tar", "w") as tar:
            member = tarfile.TarInfo("one.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def write_labelled_sets(root: Path) -> None:
    """RichHF-18k with one record, PAL with two tasks, the second half of its label right, and what was seen in them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    grey = richhf_bytes.encode(richhf_bytes.grey_map(3, (2, 24, 24, 72, 72)), "PNG")
    empty = richhf_bytes.encode(richhf_bytes.grey_map(3), "PNG")
    (root / "richhf-18k").mkdir()
    record = richhf_bytes.record("train/uid-0.png", grey, empty, (0.0, 1 / 3, 2 / 3, 1.0))
    (root / "richhf-18k" / "train.tfrecord").write_bytes(richhf_bytes.frame(record))
    (root / "pickapic_v1" / "data").mkdir(parents=True)
    row = {"image_0_uid": "uid-0", "jpg_0": richhf_bytes.photo(0), "image_1_uid": "uid-1", "jpg_1": b"", "caption": ""}
    pq.write_table(pa.Table.from_pylist([row]), root / "pickapic_v1" / "data" / "train-00000-of-00001.parquet")
    label = np.zeros((16, 16), np.uint8)
    label[:8] = 1
    with zipfile.ZipFile(root / "PAL4VST.zip", "w") as archive:
        for task in ("ldm", "cvton"):
            for kind, array in (("images", np.full((16, 16, 3), len(task), np.uint8)), ("labels", label)):
                data = io.BytesIO()
                Image.fromarray(array).save(data, "PNG")
                archive.writestr(f"{task}/{kind}/test/one.png", data.getvalue())


def write_leak_pair(folder: Path) -> None:
    """Squares that say which variant they were made by; shams have no square under their mask."""
    for name, sham in (("train", False), ("sham", True)):
        options = {"paste_back": False, "raw_negatives": False, **({"sham": True} if sham else {})}
        run = RunWriter(folder / name, RunInfo(options, {"name": "squares", "items": 8}, 1))
        with run.shard(0) as shard:
            for row in range(8):
                one = picture(row + 100 * sham, row % 2 == 0)
                image = np.where(one.mask[..., None] == 1, np.uint8(120), one.image) if sham else one.image
                meta = dataclasses.replace(
                    one.meta,
                    corruption=CorruptionMeta(injected=bool(one.mask.any()) and not sham, options=options),
                    region=RegionMeta(policy="blobs" if one.mask.any() else ""),
                )
                shard.write(dataclasses.replace(one, key=make_key(0, row), image=image, meta=meta))
        run.finalise()


def write_segformer(folder: Path) -> None:
    """A tiny SegFormer in transformers' form."""
    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[3, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=8, num_labels=1,
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)


def score_tasks(root: Path) -> None:
    """The label of each task, imported from a folder of its own, predicted as it is."""
    assert main(["import", "pal", "PAL4VST.zip", "--out", "tasks"]) == 0
    mask = np.zeros((16, 16), np.uint8)
    mask[:8] = 255
    (root / "half").mkdir()
    Image.fromarray(mask).save(root / "half" / "00000_00000.png")
    for name, tasks in (("ldm", ["ldm"]), ("cvton", ["cvton"]), ("unified", ["ldm"])):
        truth = [f"tasks/{task}/test" for task in tasks]
        words = ["--pred", "half", "--truth", *truth, "--out", f"out/scores/{name}", "--bootstrap", "0"]
        assert main(["detect", "score", *words]) == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the names of the examples stand for tiny things; out/miniworld is made by its own example."""
    root = tmp_path_factory.mktemp("world")
    with chdir(root):
        assert main(shlex.split(RUN + SMALL_RUN)[1:]) == 0
        write_squares(root / "out" / "test", 8)
        write_squares(root / "out" / "richhf" / "train", 8)
        weights = INSTALLED / "region_select" / "weights" / "swin_mini.safetensors"
        for place in (
            "detector/weights",
            "detector/swin_mini/weights",
            "scenes/weights",
            "region_select/swin_mini/selector",
        ):
            (root / "out" / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights, root / "out" / f"{place}.safetensors")
        write_pictures(root / "pictures")
        (root / "pairs.csv").write_text("a,b,preferred\n0,1,0\n")
        assert main(shlex.split(SEEN)[1:]) == 0
        (root / "out" / "pred").mkdir()
        for number in range(8):
            Image.new("L", (32, 32)).save(root / "out" / "pred" / f"00000_{number:05d}.png")
        write_labelled_sets(root)
        write_leak_pair(root / "out" / "leak" / "a")
        score_tasks(root)
        write_segformer(root / "out" / "diffdoctor")
        for place, name in (
            ("unseen/wild-train", "select"),
            ("unseen/wild-test", "select"),
            ("pools/wild-pool", "select"),
        ):
            shutil.copytree(INSTALLED / "miniworld" / "sets" / "v1" / name, root / "out" / place)
        yield root


SEEN = "blemish detect predict out/detector/swin_mini/weights.safetensors pictures --out out/seen"
SELECTOR = "region_select/swin_mini/selector"
PARAMETERS = [
    pytest.param(case, id="-".join(case.example.split()[1:3]), marks=[pytest.mark.slow] if case.slow else [])
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_example_runs(
    case: Case, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert case.example in {" ".join(one.split()) for one in all_examples()}
    assert bool(case.why) == ("--dry-run" in case.example or case.code == 2)
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    made = Path(case.made)
    if case.made and made.is_file():  # an input of another example
        shutil.rmtree(made.parent)
    capsys.readouterr()
    assert main(shlex.split(case.example + case.smaller)[1:]) == case.code
    assert "".join(capsys.readouterr())
    assert not case.made or made.exists()


def test_every_verb_has_an_example_that_runs():
    run = [RUN, *(case.example for case in CASES)]
    assert RUN in all_examples()
    without = [name for name in all_verbs() if not any(f"{example} ".startswith(f"{name} ") for example in run)]
    assert without == []
