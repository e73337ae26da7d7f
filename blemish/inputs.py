"""Pictures and masks as people have them (PIL, numpy, torch; one or many) into uint8 arrays, or one clear error.

What has two readings is refused, never guessed: a mask with 0 and 255 alone is a 0/255 mask, but one with 0, 1 and 255
may say "artifact" or "ignore" with its 255, and only its owner knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import UserError
from shards.masks import ARTIFACT, CLEAN, IGNORE, U8

Pictures = Any
"""A PIL image, a numpy array or a torch tensor, or a list or tuple of them; see `read_images`."""
Masks = Any
"""The same for masks; see `read_masks`."""

CONVENTIONS: dict[str, Mapping[int, int]] = {
    "01": {0: CLEAN, 1: ARTIFACT},
    "0255": {0: CLEAN, 255: ARTIFACT},
    "blemish": {0: CLEAN, 1: ARTIFACT, 255: IGNORE},
    "file": {0: CLEAN, 255: ARTIFACT, 128: IGNORE},
}
"""`mask_values` -> value in the mask given -> value in memory."""
READINGS: dict[str, str] = {
    "01": "0 clean, 1 artifact",
    "0255": "0 clean, 255 artifact",
    "blemish": "0 clean, 1 artifact, 255 ignore",
    "file": "0 clean, 255 artifact, 128 ignore",
}
"""The same in words."""


class InputError(UserError, ValueError):
    """Pictures, masks or prompts that cannot be used, or that can be read in two ways."""


def read_images(images: Pictures) -> list[U8]:
    """Pictures -> uint8 HWC RGB, 0..255.

    Args:
        images: one or many of
            PIL: any mode but F; transparency is laid on white, EXIF orientation is applied;
            numpy: HWC, BHWC (3 or 1 channels) or grey HW;
            torch: CHW, BCHW, HWC or BHWC (3 or 1 channels) or grey HW, on any device;
            uint8 is 0..255, floats are 0..1. Many: a batch, or a list or tuple of single pictures of any sizes.

    Raises InputError: no picture, another type, dtype, layout or range, four channels, a layout with two readings.
    """
    if isinstance(images, (list, tuple)):
        pictures = [_picture(one, f"image {place}") for place, one in enumerate(images)]
    elif _is_pil(images):
        pictures = [_picture(images, "the image")]
    else:
        array, is_tensor = _array(images, "images")
        if array.ndim == 4:
            array = _channels_last(array, "images", is_tensor)
            pictures = [_pixels(one, f"image {place}") for place, one in enumerate(array)]
        else:
            pictures = [_picture(images, "the image")]
    if not pictures:
        raise InputError("no image was given; give one, or a list or batch of one or more")
    return pictures


def read_masks(
    masks: Masks, sizes: Sequence[tuple[int, int]], values: str = "auto", threshold: float | None = None
) -> tuple[list[U8], str]:
    """Masks, one for each picture -> (uint8 HW with 0 clean, 1 artifact, 255 ignore; how they were read).

    Args:
        masks: one or many of PIL (modes 1 and L), numpy or torch; HW, or BHW, B1HW, BHW1; bool, integers, or floats.
        sizes: (height, width) of the pictures.
        values: what the values mean: a key of CONVENTIONS, or `auto`: bool, 0 and 1, or 0 and 255 (255 is artifact),
            over all masks together. Floats are taken where they are 0 and 1 alone.
        threshold: for soft masks: artifact where the value is at least this, 0 < threshold <= 1. Integers above 1
            count from 0 to 255.

    Raises InputError: another number or size than the pictures, values that are soft, unknown or have two readings.
    """
    if values not in ("auto", *CONVENTIONS):
        raise InputError(f"mask_values is {values!r}; allowed are auto, {', '.join(CONVENTIONS)}")
    arrays = planes_of(masks, len(sizes))
    if len(arrays) != len(sizes):
        raise InputError(f"{_count(len(arrays), 'mask')} for {_count(len(sizes), 'image')}; needed: one each")
    for place, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.shape != size:
            raise InputError(
                f"mask {place} is {_size(array.shape)} pixels, its image {_size(size)}; needed: the same size"
            )
    if threshold is not None:
        return _cut(arrays, values, threshold)
    arrays = [_whole(array, place) for place, array in enumerate(arrays)]
    found = {int(value) for array in arrays for value in np.unique(array)}
    chosen = _decide(found) if values == "auto" else values
    meaning = CONVENTIONS[chosen]
    for place, array in enumerate(arrays):
        wrong = sorted({int(value) for value in np.unique(array)} - set(meaning))
        if wrong:
            raise InputError(
                f"mask {place} holds {_list(wrong)}; mask_values {chosen!r} means {READINGS[chosen]} and no more"
            )
    table = np.zeros(256, np.uint8)
    table[list(meaning)] = list(meaning.values())
    return [table[array] for array in arrays], READINGS[chosen]


def read_prompts(prompts: str | Sequence[str] | None, count: int) -> list[str]:
    """One prompt for each picture: a list of as many, one text for all, or None for none.

    Raises InputError for a list of another length, or what is no text.
    """
    if prompts is None:
        return [""] * count
    if isinstance(prompts, str):
        return [prompts] * count
    found = list(prompts)
    if len(found) != count:
        raise InputError(f"{_count(len(found), 'prompt')} for {_count(count, 'image')}; needed: one each, '' for none")
    wrong = [type(one).__name__ for one in found if not isinstance(one, str)]
    if wrong:
        raise InputError(f"a prompt is a {wrong[0]}; prompts are text, '' for none")
    return found


def _picture(one: Any, name: str) -> U8:
    """A single picture."""
    if _is_pil(one):
        return _from_pil(one, name)
    array, is_tensor = _array(one, name)
    if array.ndim not in (2, 3):
        raise InputError(f"{name} has shape {array.shape}; a single picture is HWC or HW (torch: CHW too)")
    return _pixels(_channels_last(array, name, is_tensor) if array.ndim == 3 else array[:, :, None], name)


def _channels_last(array: NDArray[Any], name: str, is_tensor: bool) -> NDArray[Any]:
    """(B)CHW or (B)HWC -> (B)HWC. numpy is HWC always, as everywhere; a tensor may be either where only one can be."""
    last, first = array.shape[-1] in (1, 3), array.shape[-3] in (1, 3)
    if is_tensor and first and last:
        raise InputError(
            f"{name} has shape {array.shape}, which may be CHW or HWC; give a numpy array, which is always HWC"
        )
    if last:
        return array
    if is_tensor and first:
        return np.moveaxis(array, -3, -1)
    if array.shape[-1] == 4 or (is_tensor and array.shape[-3] == 4):
        raise InputError(f"{name} has shape {array.shape}: four channels; remove the transparency first")
    hint = "; numpy pictures are HWC, transpose this one" if first else ""
    needed = "HWC, BHWC or HW" + (", CHW or BCHW" if is_tensor else "")
    raise InputError(f"{name} has shape {array.shape}; needed: {needed} with 3 channels or 1{hint}")


def _pixels(array_HWC: NDArray[Any], name: str) -> U8:
    """uint8 or float 0..1 HWC with 1 or 3 channels -> uint8 HWC with 3."""
    if 0 in array_HWC.shape:
        raise InputError(f"{name} has shape {array_HWC.shape}: no pixel")
    if array_HWC.dtype.kind == "f":
        low, high = float(array_HWC.min()), float(array_HWC.max())
        if not (low >= 0.0 and high <= 1.0):  # also catches NaN
            raise InputError(
                f"{name} holds floats {low:g}..{high:g}; floats are 0..1 (from -1..1: x / 2 + 0.5; from 0..255: "
                f"give uint8)"
            )
        array_HWC = np.rint(array_HWC.astype(np.float64) * 255.0).astype(np.uint8)
    elif array_HWC.dtype != np.uint8:
        raise InputError(f"{name} is {array_HWC.dtype}; pictures are uint8 0..255 or floats 0..1")
    return np.ascontiguousarray(np.broadcast_to(array_HWC, (*array_HWC.shape[:2], 3)))


def _from_pil(picture: Any, name: str) -> U8:
    from shards.sources.pictures import Limits, refuse, to_rgb

    refused = refuse(picture, name, Limits(min_side=1))
    if refused is not None:
        raise InputError(f"{name} cannot be used ({refused.reason}): {refused.detail}")
    try:
        return np.ascontiguousarray(to_rgb(picture))
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        raise InputError(f"{name} cannot be read ({type(error).__name__}: {error})") from error


def planes_of(masks: Masks, count: int) -> list[NDArray[Any]]:
    """Masks one by one as HW arrays of whatever dtype they have."""
    if isinstance(masks, Sequence) and not isinstance(masks, (str, bytes)):
        return [plane_of(one, f"mask {place}") for place, one in enumerate(masks)]
    if _is_pil(masks):
        return [plane_of(masks, "the mask")]
    array, _ = _array(masks, "masks")
    if array.ndim == 3 and not (count == 1 and array.shape[-1] == 1):
        return list(array)
    if array.ndim == 4:
        return [plane_of(one, f"mask {place}") for place, one in enumerate(array)]
    return [plane_of(array, "the mask")]


def plane_of(one: Any, name: str) -> NDArray[Any]:
    if _is_pil(one):
        if one.mode not in ("1", "L"):
            raise InputError(f'{name} is a PIL image of mode {one.mode}; masks are of mode 1 or L: mask.convert("L")')
        return np.asarray(one)
    array, _ = _array(one, name)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{name} has shape {array.shape}; a single mask is HW")
    if array.dtype.kind not in "buif":
        raise InputError(f"{name} is {array.dtype}; masks are bool, integers or floats")
    return array


def _whole(array: NDArray[Any], place: int) -> U8:
    """Integers 0..255 of a mask that is not soft."""
    if array.dtype.kind == "f" and not bool(np.isin(array, (0.0, 1.0)).all()):
        raise InputError(
            f"mask {place} is soft, with values {float(array.min()):g}..{float(array.max()):g}; say where to cut: "
            f"mask_threshold=0.5"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 255:
        raise InputError(f"mask {place} holds values {low}..{high}; allowed are 0..255")
    return array.astype(np.uint8)


def _decide(found: set[int]) -> str:
    """The convention of masks with these values. Raises InputError where there are two, or none."""
    if found <= {0, 1}:
        return "01"
    if found <= {0, 255}:
        return "0255"
    if found <= {0, 1, 255}:
        raise InputError(
            "the masks hold 0, 1 and 255, and 255 may mean artifact or ignore; say which: mask_values='blemish' "
            "(0 clean, 1 artifact, 255 ignore), or give bool masks"
        )
    if found <= {0, 128, 255}:
        raise InputError(
            "the masks hold 128; say what it is: mask_values='file' (0 clean, 255 artifact, 128 ignore), or "
            "mask_threshold=0.5 where the masks are soft"
        )
    raise InputError(
        f"the masks hold {_list(sorted(found - {0, 255}))} beside 0 and 255: they are soft; say where to cut: "
        f"mask_threshold=0.5"
    )


def _cut(arrays: Sequence[NDArray[Any]], values: str, threshold: float) -> tuple[list[U8], str]:
    """Soft masks to 0 and 1."""
    if values != "auto":
        raise InputError(f"mask_values is {values!r} and mask_threshold {threshold}: a mask is one or the other")
    if not 0.0 < threshold <= 1.0:
        raise InputError(f"mask_threshold is {threshold}; allowed is 0 < mask_threshold <= 1")
    # Over all masks together: a dark one among 0..255 masks must not be taken for 0 and 1.
    in_bytes = any(array.dtype.kind in "ui" and array.max() > 1 for array in arrays)
    cut: list[U8] = []
    for place, array in enumerate(arrays):
        top = 255.0 if in_bytes and array.dtype.kind in "ui" else 1.0
        if not (array.min() >= 0 and array.max() <= top):  # also catches NaN
            raise InputError(f"mask {place} holds values {array.min():g}..{array.max():g}; allowed are 0..{top:g}")
        cut.append((array.astype(np.float64) / top >= threshold).astype(np.uint8))
    return cut, f"artifact from {threshold:g} on, of 0..{255 if in_bytes else 1}"


def _array(value: Any, name: str) -> tuple[NDArray[Any], bool]:
    """(numpy array, whether it was a tensor)."""
    if isinstance(value, np.ndarray):
        return value, False
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        tensor = value.detach().cpu()
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy(), True
    raise InputError(
        f"{name}: a {type(value).__name__}; give a PIL image, a numpy array, a torch tensor, or a list of them"
    )


def _is_pil(value: Any) -> bool:
    from PIL import Image

    return isinstance(value, Image.Image)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)


def _list(values: Sequence[int]) -> str:
    shown = ", ".join(str(value) for value in values[:5])
    return f"{shown}, .." if len(values) > 5 else shown


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
