"""A mix of a picture's own mask and other policies: a picture without one falls back, in the line as documented."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from line_tools import make_pictures
from PIL import Image

from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.remake import remake
from shards.errors import ResumeError
from shards.reader import ShardReader

ConfigOf = Callable[..., LineConfig]
BLOBS = {"policy": "blobs", "options": {"area": [0.05, 0.2]}}
FILES = {"policy": "files", "weight": 1e6}


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    """Three pictures of 32 x 32 to 34 pixels; two have masks of 0 and 1."""
    folder, masks = make_pictures(tmp_path / "mine", count=3), tmp_path / "masks"
    (folder / "zz copy.png").unlink()
    masks.mkdir()
    for number in range(2):
        mask = np.zeros((32 + number, 32), np.uint8)
        mask[8:20, 8:20] = 1
        Image.fromarray(mask).save(masks / f"picture {number:02d}.é.png")
    return {"name": "folder", "options": {"root": str(folder), "masks": str(masks), "mask_threshold": 1}}


def made(config_of: ConfigOf, source: dict[str, Any], region: dict[str, Any], out: Path) -> dict[str, Any]:
    """What became of each picture: the policy that was used in the end."""
    samples = {"clean_share": 0.0}
    corruption = {"injection": {"start_step": 47}, "verification": {"policy": "keep"}}
    make_shards(config_of(source=source, region=region, samples=samples, corruption=corruption), out)
    reader = ShardReader(out)
    metas = [reader.meta(index) for index in range(len(reader))]
    return {meta.source.uri: meta.region.options["chosen"].get("policy") for meta in metas}


def test_a_picture_without_a_mask_falls_back(config_of: ConfigOf, source: dict[str, Any], tmp_path: Path):
    found = made(config_of, source, {"policy": "mix", "options": {"parts": [FILES, BLOBS]}}, tmp_path / "run")
    assert found == {"picture 00.é.png": "files", "picture 01.é.png": "files", "picture 02.é.png": "blobs"}
    assert remake(tmp_path / "run", "00000_00002", None).same


@pytest.mark.parametrize(
    "region",
    [{"policy": "files", "options": {}}, {"policy": "mix", "options": {"parts": [FILES, BLOBS], "fallback": False}}],
    ids=["files", "mix without fallback"],
)
def test_without_a_fallback_it_is_a_reject(
    region: dict[str, Any], config_of: ConfigOf, source: dict[str, Any], tmp_path: Path
):
    assert len(made(config_of, source, region, tmp_path / "run")) == 2
    assert '"reason": "mask_missing"' in (tmp_path / "run" / "rejects.jsonl").read_text()


def test_other_masks_in_a_folder_of_the_same_name_are_another_run(
    config_of: ConfigOf, source: dict[str, Any], tmp_path: Path
):
    region = {"policy": "mix", "options": {"parts": [FILES, BLOBS]}}
    name = "picture 01.é.png"
    mask = np.asarray(Image.open(tmp_path / "masks" / name))
    Image.fromarray(mask).save(tmp_path / "masks" / name, compress_level=0)
    made(config_of, source, region, tmp_path / "run")
    other = tmp_path / "elsewhere" / "masks"
    shutil.copytree(tmp_path / "masks", other)
    elsewhere = {**source, "options": {**source["options"], "masks": str(other)}}
    made(config_of, elsewhere, region, tmp_path / "run")  # the same masks, wherever they lie
    Image.fromarray(mask[::-1]).save(other / name, compress_level=0)
    assert (other / name).stat().st_size == (tmp_path / "masks" / name).stat().st_size  # what they hold differs
    with pytest.raises(ResumeError, match="fingerprint"):
        made(config_of, elsewhere, region, tmp_path / "run")
