"""Model folders from outside: safetensors and data alone; what else their JSON names is refused in one line."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import CANARY, batches, run
from line_case import line_tools, make, make_case
from mutate import DEEP, mutated_json

UNET, TEXT, TOKENIZER = "unet/config.json", "text_encoder/config.json", "tokenizer/tokenizer_config.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = line_tools().make_pipeline(tmp_path_factory.mktemp("model") / "tiny")
    case = make_case(tmp_path_factory.mktemp("models"), model)
    make(case, codes=(0,), seconds=120)
    shutil.rmtree(case / "out")
    shutil.copytree(model, case / "right")
    return case


class Runs:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return open, (CANARY, "w")


def change(name: str, **values: object) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        stored = {**json.loads((folder / name).read_bytes()), **values}
        (folder / name).write_text(json.dumps(stored))

    return spoil


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).with_suffix(".bin").write_bytes(pickle.dumps(Runs()))


def pickled_piece(folder: Path) -> None:
    """An index that names a pickle beside a piece of safetensors."""
    (folder / WEIGHTS).rename(folder / "unet/diffusion_pytorch_model-00001-of-00002.safetensors")
    (folder / "unet/evil.bin").write_bytes(pickle.dumps(Runs()))
    index = {"metadata": {}, "weight_map": {"conv_in.weight": "evil.bin"}}
    (folder / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def code(folder: Path) -> None:
    """A tokenizer with code of its own."""
    (folder / "tokenizer/own.py").write_text(f"open({CANARY!r}, 'w')\nclass Own: pass\n")
    change(TOKENIZER, auto_map={"AutoTokenizer": ["own.Own", None]}, tokenizer_class="Own")(folder)


SPOILT = {
    "pickled weights": pickled,
    "an index that names a pickle": pickled_piece,
    "a tokenizer's code": code,
    "another tokenizer": change(TOKENIZER, tokenizer_class="BertJapaneseTokenizer"),
    "a kernel": change(TEXT, attn_implementation="owner/kernel"),
    "quantised": change(UNET, quantization_config={"quant_method": "bitsandbytes"}),
    "an adapter": lambda folder: (folder / "text_encoder/adapter_config.json").write_text("{}"),
    "another library": change("model_index.json", safety_checker=["os", "system"]),
    "a million layers": change(TEXT, num_hidden_layers=10**6),
    "a million blocks": change(UNET, layers_per_block=10**6),
    "a vast layer": change(UNET, block_out_channels=[1 << 40, 1 << 40]),
    "a vast schedule": change("scheduler/scheduler_config.json", num_train_timesteps=10**12),
    "a schedule below zero": change("scheduler/scheduler_config.json", trained_betas=[-1.0] * 1000),
    "deep": lambda folder: (folder / UNET).write_text(DEEP),
    "deep tokenizer": lambda folder: (folder / TOKENIZER).write_text(DEEP),
    "not finite": lambda folder: (folder / UNET).write_text('{"in_channels": NaN}'),
    "a list": lambda folder: (folder / "model_index.json").write_text("[]"),
    "weights cut": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000]),
    "weights empty": lambda folder: (folder / WEIGHTS).write_bytes(b""),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_model_is_one_line(case: Path, what: str):
    shutil.rmtree(case / "spoilt", ignore_errors=True)
    shutil.copytree(case / "right", case / "spoilt")
    SPOILT[what](case / "spoilt")
    make(case, "model.folder=spoilt", codes=(2,))
    assert not (case / "out").exists()
    run(["corruptor", "shards", "quick.py", "--dry-run", "--set", "model.folder=spoilt"], case)


@pytest.mark.parametrize("seeds", batches(ci=10, slow=300, size=10))
def test_mutated_configs_of_a_model(case: Path, seeds: range):
    names = [UNET, TEXT, "vae/config.json", "model_index.json", "scheduler/scheduler_config.json", TOKENIZER]
    for seed in seeds:
        shutil.rmtree(case / "spoilt", ignore_errors=True)
        shutil.rmtree(case / "out", ignore_errors=True)
        shutil.copytree(case / "right", case / "spoilt")
        name = names[seed % len(names)]
        stored = json.loads((case / "right" / name).read_bytes())
        (case / "spoilt" / name).write_bytes(mutated_json(stored, seed))
        make(case, "model.folder=spoilt")
