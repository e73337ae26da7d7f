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
from PIL import Image
from red_squares import TINY_SWIN, picture, write_squares
from verb_tools import all_examples, all_verbs

from blemish.command import main
from miniworld.generator.recipe import Recipe
from shards.config import INSTALLED
from shards.schema import CorruptionMeta, RegionMeta, make_key
from shards.writer import RunInfo, RunWriter

SMALL_SWIN = "".join(f" --set {shlex.quote(one)}" for one in TINY_SWIN)
TINY_TRAINING = f" --iterations 2{SMALL_SWIN}"
RUN = "blemish shards configs/shards/miniworld.py --out out/miniworld"
SMALL_RUN = " --set source.options.count=8 --set samples.clean_share=0.5 --set compute.batch_size=4"
FEW_PICTURES = " --set source.options.count=1 --set compute.batch_size=1 --processes 1"


@dataclasses.dataclass(frozen=True)
class Case:
    """An example, what makes it smaller, and a file that it leaves."""

    example: str
    smaller: str = ""
    made: str = ""
    why: str = ""
    """Why it is only planned, where it is."""
    code: int = 0
    """Exit code: 1 where the tiny inputs do not pass a check."""
    slow: bool = False
    few_scenes: bool = False
    """Of the training of the generator, which has no option for it."""


CASES = [
    Case("blemish remake out/miniworld/shards/00000.tar 00000_00003 --out again", made="again"),
    Case("blemish check out/miniworld"),
    Case("blemish show out/miniworld --out sheet.png --n 16", made="sheet.png"),
    Case("blemish index 'data-{000000..000068}.tar'"),
    Case(
        "blemish gather webdataset --set 'tars=data-{000000..000068}.tar' --set select.count=30000 --out pictures",
        " --set select.count=3",
        "pictures/rejects.jsonl",
    ),
    Case(
        "blemish import richhf richhf-18k --pictures pickapic_v1/data --out out/richhf",
        made="out/richhf/train/manifest.json",
    ),
    Case("blemish import pal PAL4VST.zip --out out/pal", made="out/pal/ldm/test/manifest.json"),
    Case("blemish export mmseg out/miniworld --out out/mmseg", made="out/mmseg/dataset.py"),
    Case("blemish export coco out/miniworld --out out/coco", made="out/coco/annotations/instances_train.json"),
    Case(
        "blemish detect train configs/detector/swin_mini.py --shards out/miniworld --seed 1",
        TINY_TRAINING + " --out out/trained",
        "out/trained/weights.safetensors",
    ),
    Case(
        "blemish detect pretrain configs/detector/scenes_swin_mini.py --out out/detector/scenes",
        f"{TINY_TRAINING} --set val_dataloader.dataset.count=8",
        "out/detector/scenes/weights.safetensors",
    ),
    Case(
        "blemish detect predict out/detector/swin_mini/weights.safetensors pictures --out out/seen",
        made="out/seen/heat",
    ),
    Case(
        "blemish detect export out/scenes/weights.safetensors --half --out start.safetensors", made="start.safetensors"
    ),
    Case("blemish detect score --pred out/pred --truth out/test --out out/scores", made="out/scores/scores.json"),
    Case("blemish detect tasks unified=out/scores/unified specialist=out/scores/ldm,out/scores/cvton"),
    Case(
        "blemish regions train configs/region_select/swin_mini.py --labels miniworld/sets/v1/select "
        "--val miniworld/sets/v1/validation --out out/region_select/swin_mini",
        TINY_TRAINING,
        "out/region_select/swin_mini/selector.safetensors",
    ),
    Case(
        "blemish regions draw out/richhf/train --count 100 --out out/richhf/select",
        " --count 3",
        "out/richhf/select/manifest.json",
    ),
    Case("blemish regions masks out/region_select/swin_mini pictures --out DIR", made="DIR/masks"),
    Case("blemish regions pseudo out/region_select/swin_mini pictures --out DIR", made="DIR/manifest.json"),
    Case(
        "blemish regions report configs/shards/miniworld.py --truth miniworld/sets/v1/validation --out out/report "
        "--set region.options.tau=0.1",
        " --sources 4",
        "out/report",
    ),
    Case(
        "blemish ablate configs/ablation/timesteps.py --out out/ablation/timesteps --dry-run",
        why="a grid trains detectors: tests/ablation does one whole",
    ),
    Case("blemish leakcheck make --out out/leakcheck/shards", FEW_PICTURES, "out/leakcheck/shards/default", slow=True),
    Case(
        "blemish leakcheck check --pair out/leak/a/train out/leak/a/sham --out out/leak",
        f"{TINY_TRAINING} --bootstrap 10",
        "out/leak/leakcheck.json",
        code=1,
    ),
    Case("blemish world render --n 16 --out out/scenes", " --out out/rendered", "out/rendered.sheet.png"),
    Case("blemish world sample --n 16 --out out/samples", " --n 1 --steps 1", "out/samples.sheet.png"),
    Case(
        "blemish world train --minutes 60 --device auto",
        " --minutes 0.001 --work out/work --out out/generator",
        "out/generator/unet",
        few_scenes=True,
    ),
    Case(
        "blemish world sets --out miniworld/sets/v1",
        " --only clean-test --scale 0.01 --processes 1 --out out/sets",
        "out/sets/clean-test/manifest.json",
        slow=True,
    ),
    Case("blemish world sheets --out docs/pictures", " --only renders", "docs/pictures/miniworld_renders.webp"),
    Case(
        "blemish world figures --faults 60 --clean 600 --out out/figures.json",
        " --faults 1 --clean 0 --samples 0 --processes 1",
        "out/figures.json",
        slow=True,
    ),
    Case("blemish config fields corruption.injection"),
    Case("blemish config show configs/shards/miniworld.py --set seed=3"),
]


def write_pictures(folder: Path) -> None:
    """Two pictures, and beside their folder 69 tars with one each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(2):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number}.png")
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
        for place in ("detector/swin_mini/weights", "scenes/weights", "region_select/swin_mini/selector"):
            (root / "out" / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights, root / "out" / f"{place}.safetensors")
        write_pictures(root / "pictures")
        (root / "out" / "pred").mkdir()
        for number in range(8):
            Image.new("L", (32, 32)).save(root / "out" / "pred" / f"00000_{number:05d}.png")
        write_labelled_sets(root)
        write_leak_pair(root / "out" / "leak" / "a")
        score_tasks(root)
        yield root


PARAMETERS = [
    pytest.param(case, id="-".join(case.example.split()[1:3]), marks=[pytest.mark.slow] if case.slow else [])
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_example_runs(
    case: Case, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert case.example in {" ".join(one.split()) for one in all_examples()}
    assert bool(case.why) == ("--dry-run" in case.example)
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    made = Path(case.made)
    if case.made and made.is_file():  # an input of another example
        shutil.rmtree(made.parent)
    if case.few_scenes:
        recipe = Recipe(vae_scenes=8, vae_batch=2, unet_scenes=8, unet_batch=2)
        monkeypatch.setattr("miniworld.generator.train.Recipe", lambda: recipe)
    capsys.readouterr()
    assert main(shlex.split(case.example + case.smaller)[1:]) == case.code
    assert "".join(capsys.readouterr())
    assert not case.made or made.exists()


def test_every_verb_has_an_example_that_runs():
    run = [RUN, *(case.example for case in CASES)]
    assert RUN in all_examples()
    without = [name for name in all_verbs() if not any(f"{example} ".startswith(f"{name} ") for example in run)]
    assert without == []
