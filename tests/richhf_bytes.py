"""RichHF files written byte by byte from the format's description; shares no code with the reader."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image


def bitwise_crc(data: bytes) -> int:
    """CRC-32C, one bit at a time."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ 0x82F63B78 if register & 1 else register >> 1
    return register ^ 0xFFFFFFFF


TABLE = []
for number in range(256):
    for _ in range(8):
        number = (number >> 1) ^ 0x82F63B78 if number & 1 else number >> 1
    TABLE.append(number)


def crc(data: bytes) -> int:
    """The same a byte at a time, for longer data (test_richhf_format holds the two equal)."""
    register = 0xFFFFFFFF
    for byte in data:
        register = TABLE[(register ^ byte) & 255] ^ register >> 8
    return register ^ 0xFFFFFFFF


def mask_crc(value: int) -> int:
    return ((value >> 15 | value << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def frame(payload: bytes, bad_length: bool = False, bad_data: bool = False) -> bytes:
    length = struct.pack("<Q", len(payload))
    first, second = mask_crc(crc(length)) ^ bad_length, mask_crc(crc(payload)) ^ bad_data
    return length + struct.pack("<I", first) + payload + struct.pack("<I", second)


def number(value: int) -> bytes:
    """A varint; negative numbers take ten bytes."""
    value %= 2**64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(index: int, body: bytes) -> bytes:
    return number(index << 3 | 2) + number(len(body)) + body


def bytes_feature(*values: bytes) -> bytes:
    return field(1, b"".join(field(1, value) for value in values))


def float_feature(*values: float, packed: bool = True) -> bytes:
    if packed:
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    return field(2, b"".join(number(1 << 3 | 5) + struct.pack("<f", value) for value in values))


def int_feature(*values: int, packed: bool = True) -> bytes:
    if packed:
        return field(3, field(1, b"".join(number(value) for value in values)))
    return field(3, b"".join(number(1 << 3 | 0) + number(value) for value in values))


def example(features: dict[str, bytes]) -> bytes:
    entries = [field(1, field(1, name.encode()) + field(2, feature)) for name, feature in features.items()]
    return field(1, b"".join(entries))


def encode(grey: np.ndarray, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {}))
    return buffer.getvalue()


def grey_map(number_of_people: int, *boxes: tuple[int, int, int, int, int], side: int = 96) -> np.ndarray:
    """uint8 map: (marks, x0, y0, x1, y1) each, later boxes over earlier ones."""
    grey = np.zeros((side, side), np.uint8)
    for marks, x0, y0, x1, y1 in boxes:
        grey[y0:y1, x0:x1] = round(255 * marks / number_of_people)
    return grey


def record(
    filename: str,
    artifact: bytes,
    misalignment: bytes,
    scores: tuple[float, float, float, float],
    packed: bool = True,
    tokens: bytes = b"1 0 1",
) -> bytes:
    """The payload of one RichHF record, features in an order of our own."""
    names = ("aesthetics_score", "artifact_score", "misalignment_score", "overall_score")
    floats = {name: float_feature(score, packed=packed) for name, score in zip(names, scores, strict=True)}
    texts = {"artifact_map": bytes_feature(artifact), "misalignment_map": bytes_feature(misalignment)}
    labels = {"prompt_misalignment_label": bytes_feature(tokens)} if tokens else {}
    return example({**floats, "filename": bytes_feature(filename.encode()), **texts, **labels})


def photo(seed: int, size: tuple[int, int] = (96, 96), kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """An encoded picture of (width, height) whose mean colour depends on the seed."""
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, kind)
    return buffer.getvalue()
