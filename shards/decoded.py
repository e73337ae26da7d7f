"""Images and masks that are decoded once for all processes that learn from or look at the same shards.

A folder holds a file for each set of tars, named by their places, sizes and times. Sample i lies in it at a fixed
place, as soon as some process has decoded it: the CRC-32 of what follows, then the image and the mask. Where nothing is
yet, or half of it, the CRC is another, and the sample is decoded. The folder is a cache: delete it at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from shards.files import make_folder
from shards.masks import U8
from shards.reader import ShardReader
from shards.shard_paths import Tar

MOST_BYTES = 1 << 30
"""Of one file; larger sets are decoded every time."""
HEAD = 4


def facts_of(path: Tar) -> tuple[str, int, int | str]:
    """What changes when a tar does."""
    if not isinstance(path, Path):
        return str(path), path.size, path.identity()
    return str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns


class DecodedShards:
    """The pictures of a reader.

    Args:
        reader: whose. folder: of the files; created if missing.

    Pictures of another size than the first one are decoded every time, and so is everything where the file cannot be
    written or would be larger than MOST_BYTES.
    """

    def __init__(self, reader: ShardReader, folder: Path) -> None:
        self.reader = reader
        self.height, self.width = reader.image(0).shape[:2]
        self.record = HEAD + self.height * self.width * 4
        self.path = folder / f"{self._digest()}.bin" if self.record * len(reader) <= MOST_BYTES else None
        if self.path is not None:
            make_folder(folder)

    def _digest(self) -> str:
        facts = [facts_of(path) for path in self.reader.paths]
        return hashlib.sha256(repr((facts, self.record)).encode()).hexdigest()[:24]

    def load(self, index: int) -> tuple[U8, U8]:
        """Image uint8 HWC and mask uint8 HW (0, 1, 255) of sample `index`. Raises SchemaError."""
        if self.path is None:
            return self.reader.image(index), self.reader.mask(index)
        known = self._read(index)
        if known is not None:
            return known
        image, mask = self.reader.image(index), self.reader.mask(index)
        if image.shape == (self.height, self.width, 3) and mask.shape == (self.height, self.width):
            self._write(index, image.tobytes() + mask.tobytes())
        return image, mask

    def _read(self, index: int) -> tuple[U8, U8] | None:
        data = b""
        with contextlib.suppress(OSError), self._opened(os.O_RDONLY) as file:
            data = os.pread(file, self.record, index * self.record)
        if len(data) != self.record or zlib.crc32(data[HEAD:]) != int.from_bytes(data[:HEAD], "little"):
            return None
        pixels = np.frombuffer(data, np.uint8, offset=HEAD).reshape(4, self.height, self.width)
        return pixels[:3].reshape(self.height, self.width, 3), pixels[3]

    def _write(self, index: int, data: bytes) -> None:
        with contextlib.suppress(OSError), self._opened(os.O_WRONLY | os.O_CREAT) as file:
            os.pwrite(file, zlib.crc32(data).to_bytes(HEAD, "little") + data, index * self.record)

    @contextlib.contextmanager
    def _opened(self, flags: int) -> Iterator[int]:
        assert self.path is not None
        file = os.open(self.path, flags, 0o644)
        try:
            yield file
        finally:
            os.close(file)
