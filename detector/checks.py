"""Is a set fit to train or score a detector? Looked at before anything is written."""

from __future__ import annotations

import numpy as np

from detector.data import ShardDataset
from detector.errors import DataError
from shards.guard.decoding import open_picture
from shards.reader import ShardReader
from shards.schema import MASK_MEMBER

MAX_LOOKED_AT = 4096
"""Samples looked at in advance, evenly spread; the rest is checked as it is read."""
MAX_DECODED = 512
"""Masks among them that are decoded."""


def check_set(dataset: ShardDataset, least: int = 1, purpose: str = "score") -> None:
    """Raise DataError for fewer than `least` samples, no artifact at all, or a mask of another size than its image."""
    reader, size = dataset.reader, len(dataset)
    where = ", ".join(sorted({str(path.parent) for path in reader.paths}))
    if size < least:
        raise DataError(f"{where}: {size} sample, but at least {least} are needed to {purpose}; make more")
    picked = np.unique(np.linspace(0, size - 1, min(MAX_LOOKED_AT, size)).astype(np.int64))
    found, step = False, -(-len(picked) // MAX_DECODED)
    for turn, index in enumerate(picked.tolist()):
        check_size(reader, index)
        if turn % step == 0:
            reader.mask(index)  # raises where it holds other values than a mask's
        found = found or reader.meta(index).label == "artifact"
    if not found:
        raise DataError(
            f"{where}: none of {len(picked)} samples holds an artifact, so there is nothing to {purpose}; "
            "name shards with artifacts"
        )


def check_size(reader: ShardReader, index: int) -> None:
    """Compare the sizes in the headers of image and mask; no pixel is decoded."""
    key = reader.key(index)
    image, mask = (
        header_size(reader.member(index, reader.image_name(index))),
        header_size(reader.member(index, MASK_MEMBER)),
    )
    if image != mask:
        raise DataError(
            f"{reader.path(index)}: {key}: the mask is {mask[0]}x{mask[1]} but the image {image[0]}x{image[1]}; "
            "make the shard again"
        )


def header_size(data: bytes) -> tuple[int, int]:
    """(width, height) from a picture's header. Raises DataError where there is none."""
    try:
        with open_picture(data, ("WEBP", "PNG", "JPEG")) as picture:
            return picture.size
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        raise DataError(f"a picture cannot be read ({error}); make the shard again") from error
