"""Tars as ProGamerGov's set has them, written by hand: mixed extensions, captions as text or list, widths that lack."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = (("jpg", "JPEG"), ("jpeg", "JPEG"), ("png", "PNG"))
SIZES = ((96, 96), (112, 64), (64, 112), (160, 64))


def picture(seed: int, kind: str = "PNG", size: tuple[int, int] = (24, 24), **options: Any) -> bytes:
    """Noise, which does not compress, of `size` = (width, height)."""
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def record(number: int, size: tuple[int, int]) -> dict[str, Any]:
    """The JSON beside a picture."""
    facts: dict[str, Any] = {
        "image_name": f"{number:06d}",
        "md5_pil_hash": "0" * 32,
        "sha512_hash": "0" * 128,
        "short_caption": f"short {number}",
        "long_caption": f"long {number}",
        "short_caption2": [f"listed {number}", "another"] if number % 2 else f"text {number}",
        "long_caption2": [],
        "original_prompt": f"prompt {number}",
        "resolution": f"{size[0]}x{size[1]}",
        "url": "",
        "height": size[1],
        "source": "somewhere",
    }
    return {**facts, "width": size[0]} if number % 3 else facts


def hps_tar(path: Path, first: int, count: int, **options: Any) -> Path:
    """Samples first .. first + count - 1; picture before or after its JSON, as sorting by name has it."""
    with tarfile.open(path, "w", **options) as tar:
        for number in range(first, first + count):
            (extension, kind), size = KINDS[number % 3], SIZES[number % 4]
            members = {extension: picture(number, kind, size), "json": json.dumps(record(number, size)).encode()}
            for name in sorted(members):
                info = tarfile.TarInfo(f"{number:06d}.{name}")
                info.size = len(members[name])
                tar.addfile(info, io.BytesIO(members[name]))
    return path


def hps_set(folder: Path, num_tars: int = 3, per_tar: int = 8) -> str:
    """Several tars; returns the brace range that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for tar in range(num_tars):
        hps_tar(folder / f"data-{tar:06d}.tar", tar * per_tar, per_tar)
    return f"{folder}/data-{{000000..{num_tars - 1:06d}}}.tar"
