"""The examples of all verbs that a test runs, and what makes each of them small."""

from __future__ import annotations

import dataclasses
import shlex

from red_squares import TINY_SWIN

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
    """Why it is not run whole, where it is not."""
    code: int = 0
    """Exit code: 1 where the tiny inputs do not pass a check, 2 where something is not installed."""
    slow: bool = False
    few_scenes: bool = False
    """Of the training of the generator, which has no option for it."""


CASES = [
    Case("blemish remake out/miniworld/shards/00000.tar 00000_00003 --out again", made="again"),
    Case("blemish check out/miniworld"),
    Case("blemish show out/miniworld --out sheet.png --n 16", made="sheet.png"),
    Case("blemish view out/miniworld", made="out/miniworld/view/index.html"),
    Case("blemish status out/miniworld"),
    Case("blemish rank percentiles out/seen --out out/rank", made="out/rank"),
    Case("blemish rank best out/seen --out out/best", made="out/best"),
    Case("blemish rank agree out/seen --pairs pairs.csv --out out/agreement", made="out/agreement"),
    Case(
        "blemish rank score pictures --metric hyperiqa --out hyperiqa.csv",
        why="pyiqa fetches its weights; without it the line says how to get it",
        code=2,
    ),
    Case(
        "blemish report miniworld/sets/v1/validation out/seen --out out/report",
        " --out out/statistics",
        "out/statistics/report.html",
    ),
    Case(
        "blemish repair pictures --detector out/detector/weights.safetensors --inpainter miniworld/weights "
        "--out out/repaired",
        " --zoom whole --rounds 1 --steps 2 --no-check --batch 2",
        "out/repaired/repair.jsonl",
    ),
    Case(
        "blemish adapt region_select/weights/swin_mini.safetensors --shots out/unseen/wild-train "
        "--new out/unseen/wild-test --old miniworld/sets/v1/wild-test --out out/adapted",
        " --old out/unseen/wild-test --iterations 2 --bootstrap 10 --most-loss 1",
        "out/adapted",
    ),
    Case(
        "blemish baseline segformer out/diffdoctor out/test --out out/diffdoctor_seen",
        made="out/diffdoctor_seen/heat",
    ),
    Case(
        "blemish world balance --pool out/pools/wild-pool --out miniworld/sets/v1/wild-balanced",
        " --count 10 --out out/wild-even",
        "out/wild-even/manifest.json",
    ),
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
    Case("blemish export anomalib out/miniworld --out out/anomalib", made="out/anomalib/ground_truth/defect"),
    Case(
        "blemish export parquet out/miniworld --out out/parquet", made="out/parquet/data/train-00000-of-00001.parquet"
    ),
    Case("blemish export dpo out/miniworld --out out/dpo", made="out/dpo/data/train-00000-of-00001.parquet"),
    Case("blemish export labelstudio out/miniworld --out out/labelstudio", made="out/labelstudio/tasks-00000.json"),
    Case(
        "blemish publish out/miniworld me/artifacts --dry-run",
        why="a real upload needs the hub: tests/shards/publish does one to a server that speaks its interface",
    ),
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
        " --out out/looked",
        "out/looked/heat",
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
