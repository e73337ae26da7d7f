"""Both kinds of inpainter, with diffusers' own classes at tiny size and the embedded generator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from applications.repair.blended import reached_cells
from applications.repair.inpainter import open_inpainter
from applications.repair.options import EMBEDDED, INVERTED, FillOptions, RepairError
from shards.errors import ConfigError, MissingInputError

QUICK = FillOptions(steps=2)


def rows(side: int, num: int = 2) -> tuple[Any, Any]:
    """Smooth pictures, and a square in the middle of each as mask."""
    y, x = np.mgrid[:side, :side]
    images = np.stack([np.stack([x * 3, y * 2, (x + y + 9 * k)], -1) for k in range(num)]).astype(np.uint8)
    masks = np.zeros((num, side, side), np.uint8)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = 1
    return images, masks


@pytest.mark.parametrize(("name", "multiple"), [("sd_inpaint", 4), ("sdxl_inpaint", 4), ("flux_fill", 8), ("sd", 8)])
def test_fill(name: str, multiple: int, inpainters: dict[str, Path], capfd: pytest.CaptureFixture[str]):
    inpainter = open_inpainter(str(inpainters[name]), options=FillOptions(steps=2, size=32), device="cpu")
    assert (inpainter.kind, inpainter.multiple) == ("blended" if name == "sd" else "masked", multiple)
    assert (inpainter.size, inpainter.facts["steps"]) == (32, 2)
    images, masks = rows(32)
    filled = inpainter.fill(images, masks, ["a red car", ""], [1, 2])
    assert (filled.shape, filled.dtype) == (images.shape, np.uint8)
    alone = inpainter.fill(images[1:], masks[1:], [""], [2])
    assert np.abs(alone[0].astype(int) - filled[1]).max() <= 1
    other = inpainter.fill(images[1:], masks[1:], [""], [3])
    assert (other[0] != filled[1]).any()
    assert "Loading" not in "".join(capfd.readouterr())


def test_native_sizes(inpainters: dict[str, Path]):
    sizes = {name: open_inpainter(str(inpainters[name]), device="cpu").size for name in ("sd_inpaint", "sd")}
    assert sizes == {"sd_inpaint": 32, "sd": 32}  # 8 cells of 4 pixels
    assert open_inpainter(str(inpainters["flux_fill"]), device="cpu").size == 1024


def test_the_embedded_generator_blends():
    inpainter = open_inpainter(EMBEDDED, options=QUICK, device="cpu")
    assert (inpainter.kind, inpainter.size, inpainter.facts["guidance"]) == ("blended", 64, 2.5)
    images, masks = rows(64)
    filled = inpainter.fill(images, masks, ["a face", ""], [1, 2])
    none = inpainter.fill(images, np.zeros_like(masks), ["a face", ""], [1, 2])
    backbone = inpainter.backbone  # type: ignore[attr-defined]
    trip = backbone.decode(backbone.encode(torch.from_numpy(images))).numpy()
    assert (none == trip).all()  # nothing masked: the autoencoder alone
    inside = np.abs(filled.astype(int) - trip)[masks == 1].mean()
    outside = np.abs(filled.astype(int) - trip)[:, 48:].mean()
    assert inside > 10 * outside


def test_inverted_latents_bring_the_picture_back_where_nothing_is_masked():
    options = FillOptions(steps=4, strength=0.5, known=INVERTED)
    inpainter = open_inpainter(EMBEDDED, options=options, device="cpu")
    images, masks = rows(64, 1)
    backbone = inpainter.backbone  # type: ignore[attr-defined]
    trip = backbone.decode(backbone.encode(torch.from_numpy(images))).numpy()
    assert (inpainter.fill(images, np.zeros_like(masks), [""], [1]) == trip).all()
    filled = inpainter.fill(images, masks, [""], [1])
    assert np.abs(filled.astype(int) - trip)[masks == 1].mean() > 1
    assert (filled != inpainter.fill(images, masks, [""], [2])).any()


@pytest.mark.parametrize("name", ["sd_inpaint", "flux_fill", "sd"])
def test_another_dtype_is_used_and_told(name: str, inpainters: dict[str, Path]):
    images, masks = rows(32)
    filled = {}
    for dtype in ("auto", "float32", "bfloat16"):
        options = FillOptions(steps=2, size=32, dtype=dtype)
        inpainter = open_inpainter(str(inpainters[name]), options=options, device="cpu")
        assert inpainter.facts.get("dtype") == (None if dtype == "auto" else dtype)
        filled[dtype] = inpainter.fill(images, masks, ["a red car", ""], [1, 2]).astype(int)
    assert (filled["auto"] == filled["float32"]).all()
    change = np.abs(filled["bfloat16"] - filled["float32"])
    assert change.any()
    assert change.mean() < 8


def test_less_strength_keeps_more():
    images, masks = rows(64, 1)
    change = []
    for strength in (0.4, 1.0):
        inpainter = open_inpainter(EMBEDDED, options=FillOptions(steps=5, strength=strength), device="cpu")
        filled = inpainter.fill(images, masks, [""], [1])
        change.append(np.abs(filled.astype(int) - images)[masks == 1].mean())
    assert change[0] < change[1]


def test_cells_are_all_that_a_mask_reaches():
    mask = np.zeros((1, 8, 12), np.uint8)
    mask[0, 3, 4] = 1
    assert reached_cells(mask, 4).tolist() == [[[False, True, False], [False, False, False]]]


def edited(folder: Path, tmp_path: Path, file: str, **changes: Any) -> Path:
    """A copy with other values in one of its JSON files."""
    copy = tmp_path / "edited"
    shutil.copytree(folder, copy)
    told = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps({**told, **changes}))
    return copy


def refuse(match: str, error: type[Exception], *args: Any, **options: Any) -> None:
    with pytest.raises(error, match=match) as caught:
        open_inpainter(*args, device="cpu", **options)
    assert "\n" not in str(caught.value)


def test_no_mask_channels(inpainters: dict[str, Path]):
    refuse("takes 4 channels, with latents of 4, has no mask channels", RepairError, str(inpainters["no_channels"]))
    refuse("has no mask channels; use --kind blended", RepairError, str(inpainters["sd"]), kind="masked")
    refuse("takes the mask as channels", RepairError, str(inpainters["sd_inpaint"]), kind="blended")
    refuse("allowed are auto, masked, blended", RepairError, str(inpainters["sd"]), kind="magic")


def test_no_such_model(tmp_path: Path):
    refuse("no model folder", MissingInputError, "out/nothing")
    refuse("no model_index.json", MissingInputError, str(tmp_path))
    refuse("nor could it be fetched", MissingInputError, "somebody/inpainting")


def test_options_that_the_model_cannot_take(inpainters: dict[str, Path]):
    sd, masked, flux = (str(inpainters[name]) for name in ("sd", "sd_inpaint", "flux_fill"))
    refuse("--size is 36; this model takes multiples of 8", ConfigError, sd, options=FillOptions(size=36))
    refuse("--size is 34; this model takes multiples of 4", ConfigError, masked, options=FillOptions(size=34))
    refuse("takes no --negative-prompt", ConfigError, flux, options=FillOptions(negative_prompt="blur"))
    with pytest.raises(ConfigError, match="--dtype is 'half'; allowed are auto, float32"):
        FillOptions(dtype="half")
    refuse("--known inverted is of blended latents", ConfigError, masked, options=FillOptions(known=INVERTED))
    refuse("leaves none", ConfigError, masked, options=FillOptions(steps=2, strength=0.3))


@pytest.mark.parametrize(
    ("file", "changes", "match"),
    [
        ("model_index.json", {"unet": ["evil", "UNet"]}, "not of diffusers or transformers"),
        ("model_index.json", {"vae": None}, "names no vae"),
        ("unet/config.json", {"quantization_config": {"a": 1}}, "makes a library import or fetch code"),
        ("unet/config.json", {"layers_per_block": 10**6}, "at most 128 is taken"),
        ("tokenizer/tokenizer_config.json", {"tokenizer_class": "Evil"}, "allowed are CLIPTokenizer"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "num_train_timesteps"),
    ],
)
def test_folders_from_outside(file: str, changes: Any, match: str, inpainters: dict[str, Path], tmp_path: Path):
    refuse(match, RepairError, str(edited(inpainters["sd_inpaint"], tmp_path, file, **changes)))


def test_weights_that_are_missing_or_pickled(inpainters: dict[str, Path], tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(inpainters["sd_inpaint"], copy)
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    refuse("pickled .bin weights are not loaded", MissingInputError, str(copy))
    weights.write_bytes(b"nothing")
    refuse("cannot be loaded", RepairError, str(copy))
