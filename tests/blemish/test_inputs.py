"""Pictures and masks as people have them: what is read, as what, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import blemish
from blemish.inputs import InputError, read_images, read_masks, read_prompts

RGB = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
CHW = torch.from_numpy(RGB).permute(2, 0, 1)


@pytest.mark.parametrize(
    "given",
    [
        RGB,
        RGB[None],
        [RGB],
        (RGB,),
        Image.fromarray(RGB),
        [Image.fromarray(RGB)],
        torch.from_numpy(RGB),
        CHW,
        CHW[None],
        [CHW],
        RGB / 255.0,
        (RGB / 255.0).astype(np.float32),
        CHW.float() / 255,
        (CHW.double() / 255)[None],
        np.asfortranarray(RGB),
    ],
    ids=lambda one: f"{type(one).__name__} {getattr(one, 'dtype', '')} {tuple(getattr(one, 'shape', ()))}",
)
def test_every_way_to_give_a_picture_gives_the_same_pixels(given: Any):
    (found,) = read_images(given)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.array_equal(found, RGB)


@pytest.mark.parametrize("given", [RGB[..., 0], RGB[..., :1], torch.from_numpy(RGB[..., 0]), CHW[:1]])
def test_grey_becomes_three_equal_channels(given: Any):
    (found,) = read_images(given)
    assert np.array_equal(found, np.repeat(RGB[..., :1], 3, axis=2))


def test_pil_modes_are_converted():
    assert np.array_equal(read_images(Image.fromarray(RGB[..., 0]))[0], np.repeat(RGB[..., :1], 3, axis=2))
    clear = np.concatenate([RGB, np.zeros((2, 5, 1), np.uint8)], axis=2)
    assert (read_images(Image.fromarray(clear))[0] == 255).all()  # nothing but the white behind it
    half = torch.full((3, 2, 5), 0.5, dtype=torch.bfloat16)
    assert (read_images(half)[0] == 128).all()


def test_many_may_differ_in_size_and_kind():
    found = read_images([RGB, Image.fromarray(RGB[:1]), CHW])
    assert [one.shape for one in found] == [(2, 5, 3), (1, 5, 3), (2, 5, 3)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no image was given"),
        (np.zeros((0, 4, 4, 3), np.uint8), "no image was given"),
        ("a.png", "a str; give a PIL image"),
        ([RGB, None], "image 1: a NoneType"),
        (RGB.astype(np.int64), "is int64; pictures are uint8 0..255 or floats 0..1"),
        (RGB.astype(np.float32), r"holds floats 0..29; floats are 0..1"),
        (RGB / 127.5 - 1.0, r"floats -1..-0.77"),
        (np.full((2, 5, 3), np.nan), "floats nan..nan"),
        (np.zeros((2, 5, 4), np.uint8), "four channels"),
        (torch.zeros(4, 2, 5), "four channels"),
        (CHW.numpy(), "numpy pictures are HWC, transpose"),
        (torch.zeros(3, 5, 3), "may be CHW or HWC"),
        (torch.zeros(2, 3, 5, 1), "may be CHW or HWC"),
        (np.zeros((7, 8, 9), np.uint8), "needed: HWC, BHWC or HW"),
        (np.zeros(5, np.uint8), "a single picture is HWC or HW"),
        ([RGB[None]], "image 0 has shape (1, 2, 5, 3); a single picture"),
        (np.zeros((0, 5, 3), np.uint8), "no pixel"),
        (Image.new("F", (4, 4)), "unsupported_depth"),
    ],
)
def test_what_cannot_be_a_picture_is_one_line(given: Any, message: str):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
        read_images(given)
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


HW = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
SIZES = [(2, 3)]


@pytest.mark.parametrize(
    ("given", "read_as"),
    [
        (HW.astype(bool), "0 clean, 1 artifact"),
        (HW, "0 clean, 1 artifact"),
        (HW.astype(np.int64), "0 clean, 1 artifact"),
        (HW.astype(np.float32), "0 clean, 1 artifact"),
        (HW * 255, "0 clean, 255 artifact"),
        ((HW * 255).astype(np.int32), "0 clean, 255 artifact"),
        (Image.fromarray(HW * 255), "0 clean, 255 artifact"),
        (Image.fromarray(HW * 255).convert("1"), "0 clean, 1 artifact"),
        (torch.from_numpy(HW), "0 clean, 1 artifact"),
        (torch.from_numpy(HW).bool()[None, None], "0 clean, 1 artifact"),
        (HW[None], "0 clean, 1 artifact"),
        (HW[..., None], "0 clean, 1 artifact"),
        ([HW], "0 clean, 1 artifact"),
    ],
)
def test_every_way_to_give_a_mask_gives_the_same_region(given: Any, read_as: str):
    (found,), told = read_masks(given, SIZES)
    assert np.array_equal(found, HW)
    assert found.dtype == np.uint8
    assert told == read_as


def test_conventions_that_are_named():
    ours = np.array([[0, 1, 255]], np.uint8)
    assert np.array_equal(read_masks(ours, [(1, 3)], "blemish")[0][0], ours)
    stored = np.array([[0, 255, 128]], np.uint8)
    assert np.array_equal(read_masks(stored, [(1, 3)], "file")[0][0], ours)
    assert np.array_equal(read_masks(np.array([[255, 255]]), [(1, 2)], "0255")[0][0], [[1, 1]])


def test_soft_masks_are_cut_where_it_is_said():
    soft = np.array([[0.0, 0.4, 0.5, 1.0]])
    (found,), told = read_masks(soft, [(1, 4)], threshold=0.5)
    assert found.tolist() == [[0, 0, 1, 1]]
    assert told == "artifact from 0.5 on, of 0..1"
    grey = np.array([[0, 100, 128, 255]], np.uint8)
    assert read_masks(grey, [(1, 4)], threshold=0.5)[0][0].tolist() == [[0, 0, 1, 1]]
    # 0 and 1 stay what they are; beside a mask of 0..255 a 1 is almost nothing.
    assert read_masks(HW, SIZES, threshold=0.5)[0][0].tolist() == HW.tolist()
    assert read_masks([HW, HW * 255], SIZES * 2, threshold=0.5)[0][0].sum() == 0


def test_masks_are_read_together():
    empty = np.zeros((2, 3), np.uint8)
    found, told = read_masks([empty, HW * 255], SIZES * 2)
    assert told == "0 clean, 255 artifact"
    assert found[1].tolist() == HW.tolist()
    with pytest.raises(InputError, match="255 may mean artifact or ignore"):
        read_masks([HW, HW * 255], SIZES * 2)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (np.array([[0, 1, 255]]), {}, "255 may mean artifact or ignore; say which: mask_values='blemish'"),
        (np.array([[0, 128, 255]]), {}, "say what it is: mask_values='file'"),
        (np.array([[0, 7, 200]]), {}, "hold 7, 200 beside 0 and 255: they are soft"),
        (np.array([[0.0, 0.5, 1.0]]), {}, "is soft, with values 0..1; say where to cut: mask_threshold"),
        (np.array([[0, 1, 2]]), {"values": "01"}, "mask 0 holds 2; mask_values '01' means 0 clean, 1 artifact"),
        (np.array([[0, 1, 0]]), {"values": "0255"}, "mask 0 holds 1"),
        (np.array([[0, 1, 0]]), {"values": "binary"}, "allowed are auto, 01, 0255, blemish, file"),
        (np.array([[0, -1, 0]]), {}, "holds values -1..0"),
        (np.array([[0, 300, 0]]), {}, "holds values 0..300"),
        (np.array([[0.0, np.nan, 0]]), {}, "is soft, with values nan"),
        (np.array([[0.0, 2.0, 0]]), {"threshold": 0.5}, "holds values 0..2; allowed are 0..1"),
        (np.array([[0.0, 1.0, 0]]), {"threshold": 0.0}, "allowed is 0 < mask_threshold <= 1"),
        (np.array([[0.0, 1.0, 0]]), {"threshold": 0.5, "values": "01"}, "a mask is one or the other"),
        (np.zeros((2, 2)), {}, "mask 0 is 2 x 2 pixels, its image 1 x 3"),
        ([np.zeros((1, 3))] * 2, {}, "2 masks for 1 image; needed: one each"),
        (np.zeros((1, 3), complex), {}, "masks are bool, integers or floats"),
        (Image.new("RGB", (3, 1)), {}, "masks are of mode 1 or L"),
        ("mask.png", {}, "a str; give a PIL image"),
        (np.zeros((2, 3, 4, 5)), {}, "a single mask is HW"),
    ],
)
def test_what_cannot_be_a_mask_is_one_line(given: Any, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        read_masks(given, [(1, 3)], **options)
    assert "\n" not in str(caught.value)


def test_prompts():
    assert read_prompts(None, 2) == ["", ""]
    assert read_prompts("a", 2) == ["a", "a"]
    assert read_prompts(("a", "b"), 2) == ["a", "b"]
    with pytest.raises(ValueError, match="1 prompt for 2 images; needed: one each"):
        read_prompts(["a"], 2)
    with pytest.raises(ValueError, match="a prompt is a NoneType"):
        read_prompts(["a", None], 2)


def test_prompts_of_corrupt_are_one_line():
    with pytest.raises(InputError, match="`prompt`, one for all pictures or a list"):
        blemish.corrupt(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), prompts=["a"])
