"""A tiny pipeline of the embedded generator's shape, a folder of small pictures, and a quick run over them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from miniworld.generator.models import LATENT_CHANNELS, TEXT_WIDTH, build_text_encoder, build_tokenizer, save_pipeline
from shards.check import check_run
from shards.config import INSTALLED
from shards.files import hash_file
from shards.status import LOGS

SIDE, NUM_PICTURES = 32, 11


def make_pipeline(folder: Path, latent_channels: int = LATENT_CHANNELS, levels: int = 3) -> Path:
    """Real diffusers classes with random weights; f = 2 ** (levels - 1)."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    text_encoder = build_text_encoder(len(tokenizer), tokenizer.eos_token_id)
    vae = AutoencoderKL(
        latent_channels=latent_channels,
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=latent_channels,
        out_channels=latent_channels,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    save_pipeline(folder, vae, unet, text_encoder, tokenizer)
    return folder


def make_pictures(folder: Path, count: int = NUM_PICTURES, side: int = SIDE) -> Path:
    """Smooth pictures of different sizes, some with captions, two of them equal."""
    folder.mkdir(parents=True)
    for number in range(count):
        y, x = np.mgrid[0 : side + number, 0:side]
        planes = [(x * (number + 1)) % 256, (y * 5 + number * 20) % 256, ((x + y) * 3) % 256]
        Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8)).save(folder / f"picture {number:02d}.é.png")
        if number % 2:
            (folder / f"picture {number:02d}.é.txt").write_text("red car at top")
    (folder / "zz copy.png").write_bytes((folder / "picture 00.é.png").read_bytes())
    return folder


def line_values(root: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """Plain config values of a quick run; `changes` replace whole groups."""
    values: dict[str, Any] = {
        "source": {"name": "folder", "options": {"root": str(root)}},
        "model": {"folder": str(folder)},
        "size": {"policy": "crop", "size": SIDE},
        "region": {"policy": "blobs", "options": {"area": [0.05, 0.2]}},
        "corruption": {
            "injection": {"start_step": 47},
            "inversion": {"warm_passes": [2, 1]},
            "verification": {"threshold": 0.0},
        },
        "samples": {"sources_per_shard": 5, "clean_share": 0.3},
        "compute": {"device": "cpu", "num_threads": 1, "batch_size": 3},
    }
    return {**values, **changes}


def tree(folder: Path) -> dict[str, str]:
    """sha256 of every file of a run but its logs, which tell the time."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not LOGS.fullmatch(path.name))
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def terminated(command: Sequence[str], out: Path) -> str:
    """What a run of the line says to SIGTERM after its first shard; it ends with 143."""
    environ = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("shards/*.stats.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    return said


def run_again(command: Sequence[str], out: Path) -> None:
    """The same command goes on to a whole run."""
    environ = {**os.environ, "PYTHONPATH": str(INSTALLED)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert check_run(out).ok
