"""Some pictures of one way: mended, changed and still broken, and whole ones that were broken."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from applications.repair.run import CHANGED, MASKS, PICTURES
from applications.repair.sheet import lay_out, panels
from shards.files import write_bytes
from shards.images import decode_grey, decode_image

SHOWN = (("mended", 4), ("changed, still broken", 2), ("was whole, is broken", 2))
"""What became of a picture, and how many of those are shown."""


def outcome(faulty: bool, after: bool, changed: bool) -> str:
    """What became of a picture, by the oracle's word before and after; "" where there is nothing to see."""
    if faulty and not after:
        return "mended"
    if faulty and changed:
        return "changed, still broken"
    return "was whole, is broken" if after and not faulty else ""


def choose(outcomes: Sequence[str]) -> list[int]:
    """Places of the first of each outcome."""
    return [place for name, most in SHOWN for place in [i for i, one in enumerate(outcomes) if one == name][:most]]


def write_examples(path: Path, originals: Path, repaired: Path, keys: Sequence[str], outcomes: Sequence[str]) -> None:
    """A sheet as WebP, none where there is nothing to show. `repaired` is a folder of `blemish repair`.

    Raises OutputError.
    """
    places = choose(outcomes)
    if not places:
        path.unlink(missing_ok=True)
        return
    shown = []
    for place in places:
        name = f"{keys[place]}.png"
        before, after = (decode_image((folder / name).read_bytes()) for folder in (originals, repaired / PICTURES))
        marked, changed = (decode_grey((repaired / folder / name).read_bytes()) > 0 for folder in (MASKS, CHANGED))
        shown.append((outcomes[place], panels(before, marked, changed, after)))
    buffer = io.BytesIO()
    Image.fromarray(lay_out(shown)).save(buffer, "WEBP", quality=90)
    write_bytes(path, buffer.getvalue())
