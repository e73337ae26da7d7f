"""Predictions in a folder, as `python -m detector predict` or any other tool writes them.

`DIR/heat/NAME.png` (8-bit grey, round(255 * score)), else `DIR/masks/NAME.png` (0 and 255), else NAME.png or NAME.npy
directly in DIR; NAME is the sample's key. Directly in DIR, a set whose pixels are all 0 and 1 or all 0 and 255 holds
masks, any other scores. Arrays are HW: float32 scores 0..1 or uint8 masks with 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.score.counts import Kind, ScoreError
from shards.errors import MissingInputError
from shards.guard.decoding import open_picture
from shards.guard.plain_file import read_plain
from shards.images import MAX_MEMBER
from shards.schema import MAX_PIXELS

KINDS = ("auto", "scores", "masks")
FOLDERS: dict[Kind, str] = {"scores": "heat", "masks": "masks"}
SUFFIXES = (".png", ".npy")
MASK_LEVELS = {0, 1, 128, 255}
"""128 is no mask value, but a set with only these is more likely a mask with ignored pixels than a heat map."""


class PredictionFolder:
    """The predictions of one training seed.

    Args:
        folder: see the top of this file.
        kind: "scores", "masks" or "auto", which looks at sub-folders, then at pixels.

    Raises:
        MissingInputError: no such folder. ScoreError: no prediction in it, or one name with two files.
    """

    def __init__(self, folder: Path, kind: str = "auto") -> None:
        if folder.is_file():
            raise ScoreError(
                f"predictions {folder} is a file; predictions are a folder of masks or heat maps, KEY.png or KEY.npy: "
                f"draw annotations such as COCO's as masks first"
            )
        if not folder.is_dir():
            raise MissingInputError(f"predictions {folder}: no such folder; name the folder that holds KEY.png files")
        self.root, self.kind = choose_folder(folder, kind)
        self.files: dict[str, Path] = {}
        self.others: list[str] = []
        for path in listed(self.root):
            if not path.is_file() or path.suffix.lower() not in SUFFIXES:
                self.others.append(path.name)
            elif path.stem in self.files:
                raise ScoreError(f"{self.root}: {self.files[path.stem].name} and {path.name} are both there; keep one")
            else:
                self.files[path.stem] = path
        if not self.files:
            raise ScoreError(f"no prediction in {self.root}; expected files KEY.png or KEY.npy")

    def settle(self, names: Iterable[str]) -> Kind:
        """Decide what the set holds, reading pixels only as far as needed. Raises ScoreError where it is unclear."""
        if self.kind == "auto":
            levels: set[int] = set()
            for name in names:
                levels |= mask_levels(load(self.files[name])) or {-1}
                if -1 in levels:
                    break
            self.kind = kind_of_levels(levels, self.root)
        return "scores" if self.kind == "scores" else "masks"

    def read(self, name: str) -> NDArray[Any]:
        """float32 HW 0..1 or uint8 HW 0 and 1; call `settle` first. Raises ScoreError for unreadable files."""
        path = self.files[name]
        return to_scores(load(path), path) if self.kind == "scores" else to_mask(load(path), path)


def listed(folder: Path) -> list[Path]:
    """What is in a folder, by name. Raises ScoreError."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ScoreError(f"{folder} cannot be listed ({error.strerror})") from error


def choose_folder(folder: Path, kind: str) -> tuple[Path, str]:
    """Where the files are, and what they hold if that is known from the folder's name or was asked for."""
    if kind not in KINDS:
        raise ScoreError(f"kind is {kind!r}; allowed are {', '.join(KINDS)}")
    there: list[Kind] = [name for name, sub in FOLDERS.items() if (folder / sub).is_dir()]
    if not there:
        return folder, kind
    if kind == "auto":
        return folder / FOLDERS[there[0]], there[0]
    if kind not in there:
        raise ScoreError(f"{folder} has {FOLDERS[there[0]]}/ but no folder with {kind}; leave out the kind")
    return next(folder / FOLDERS[name] for name in there if name == kind), kind


def load(path: Path) -> NDArray[Any]:
    """A PNG as uint8 HW (grey, black-and-white, or palette indices) or an .npy of HW. Raises ScoreError."""
    array = load_array(path) if path.suffix.lower() == ".npy" else load_png(path)
    if array.ndim != 2 or 0 in array.shape:
        raise ScoreError(f"{path}: shape {array.shape}; a prediction is height x width")
    return array


def load_png(path: Path) -> NDArray[Any]:
    """uint8 HW. Raises ScoreError."""
    try:
        with open_picture(read_plain(path, MAX_MEMBER), ("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ScoreError(f"{path}: {picture.width}x{picture.height} pixels; at most {MAX_PIXELS} are read")
            if picture.mode not in ("L", "1", "P"):
                raise ScoreError(f"{path}: mode {picture.mode}; a prediction is an 8-bit grey PNG")
            return np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    except ScoreError:
        raise
    except Exception as error:  # Pillow raises a dozen unrelated types on damaged data
        raise ScoreError(f"{path}: not a readable PNG ({error}); write it again or remove it") from error


def load_array(path: Path) -> NDArray[Any]:
    """float, bool or uint8 array of an .npy file, never unpickled. Raises ScoreError."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy raises a dozen unrelated types on hostile headers
        raise ScoreError(f"{path}: not a readable .npy ({error}); write it again or remove it") from error
    if not isinstance(stored, np.ndarray) or (stored.dtype.kind not in "fb" and stored.dtype != np.uint8):
        raise ScoreError(f"{path}: {getattr(stored, 'dtype', 'archive')}; allowed are float 0..1, bool or uint8")
    if stored.size > MAX_PIXELS:
        raise ScoreError(f"{path}: shape {stored.shape}; at most {MAX_PIXELS} values are read")
    return np.array(stored)


def mask_levels(array: NDArray[Any]) -> set[int]:
    """The values of an array that may be a mask, with 1.0 and True as 255; empty where it holds scores."""
    if array.dtype != np.uint8:
        binary = bool(((array == 0) | (array == 1)).all())
        return {255 * int(value) for value in (array.min(), array.max())} if binary else set()
    levels = {int(value) for value in np.flatnonzero(np.bincount(array.ravel(), minlength=256))}
    return levels if levels <= MASK_LEVELS else set()


def kind_of_levels(levels: set[int], root: Path) -> Kind:
    """What a set with these values holds; -1 stands for values no mask has. Raises ScoreError where it is unclear."""
    if -1 in levels:
        return "scores"
    if 128 in levels or levels >= {1, 255}:
        raise ScoreError(
            f"{root}: the files hold only the values {sorted(levels)}, which is neither a mask (0 and 1, or 0 and 255) "
            "nor plainly a heat map; say which with --kind"
        )
    return "masks"


def to_scores(array: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """uint8 0..255 or float 0..1 -> float32 0..1. Raises ScoreError."""
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    scores = array.astype(np.float32)
    if not (scores.min() >= 0 and scores.max() <= 1):  # also catches NaN
        raise ScoreError(f"{path}: values {scores.min():g}..{scores.max():g}; scores are finite and within 0..1")
    return scores


def to_mask(array: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """{0, 1} or {0, 255} -> uint8 0 and 1. Raises ScoreError."""
    levels = mask_levels(array)
    if not levels or not (levels <= {0, 1} or levels <= {0, 255}):
        raise ScoreError(f"{path}: not a mask; its values must be 0 and 1, or 0 and 255 (an .npy: 0 and 1)")
    return (array > 0).astype(np.uint8)


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first few of many names."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
