"""Tars written by hand, header by header: what no tar program writes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable

BLOCK = 512
END = bytes(2 * BLOCK)
Member = tuple[str, bytes]


def header(
    name: str, size: int | bytes, kind: bytes = b"0", link: str = "", at482: bytes = b"", magic: bytes = b"ustar\x0000"
) -> bytes:
    """One block; `size` may be any field of 12 bytes. The checksum is right."""
    field = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(BLOCK)
    parts = ((0, name.encode()), (100, b"0000644\0"), (124, field), (136, b"00000000000\0"), (156, kind),
             (157, link.encode()), (257, magic), (482, at482))  # fmt: skip
    for at, value in parts:
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def negative(size: int) -> bytes:
    """A size field in base 256, below zero."""
    return (-size & (1 << 96) - 1).to_bytes(12, "big")


def large(size: int) -> bytes:
    return b"\x80" + size.to_bytes(11, "big")


def record(key: str, value: bytes | str) -> bytes:
    """One pax record."""
    value = value.encode() if isinstance(value, str) else value
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body)
    while length != len(str(length)) + len(body):
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(*records: tuple[str, bytes | str], kind: bytes = b"x") -> bytes:
    data = b"".join(record(key, value) for key, value in records)
    return header("PaxHeaders/x", len(data), kind) + filled(data)


def plain(members: Iterable[Member]) -> bytes:
    """Ordinary members, without an end mark."""
    return b"".join(header(name, len(data)) + filled(data) for name, data in members)


def written(members: Iterable[Member]) -> bytes:
    """As Python's tarfile writes them, end mark and all."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def strange_starts(name: str, data: bytes) -> dict[str, bytes]:
    """{case: what stands where the member `name` with `data` belongs}; each is damage or nothing that can be read."""
    body = filled(data)
    whole = header(name, len(data)) + body
    return {
        "hugesize2": header(name, large(1 << 70)) + body,
        "hugesize": header(name, large(1 << 62)) + body,
        "oversize": header(name, len(data) + (1 << 20)) + body,
        "negsize512": header(name, negative(512)) + body,
        "negsize1024": header(name, negative(1024)) + body,
        "size_text": header(name, b"12x4567\0\0\0\0\0") + body,
        "size_minus": header(name, b"-0000001000\0") + body,
        "longname_chain": b"".join(header("././@LongLink", 8, b"L") + filled(b"chain.x\0") for _ in range(3000))
        + whole,
        "longname_huge": header("././@LongLink", large(1 << 40), b"L") + filled(b"x") + whole,
        "longname_large": header("././@LongLink", 3 << 20, b"L") + bytes([120]) * (3 << 20) + whole,
        "longname_neg": header("././@LongLink", negative(512), b"L") + filled(b"x") + whole,
        "pax_chain": pax(("comment", "c")) * 3000 + whole,
        "pax_size_huge": pax(("size", str(1 << 70))) + whole,
        "pax_size_neg": pax(("size", "-512")) + whole,
        "pax_size_text": pax(("size", "many")) + whole,
        "pax_len_huge": header("PaxHeaders/x", 600, b"x") + filled(b"999999999999 path=x\n" + bytes(580)) + whole,
        "pax_len_text": header("PaxHeaders/x", 30, b"x") + filled(b"no record at all, only words..") + whole,
        "pax_global_size": pax(("size", "5"), kind=b"g") + whole,
        "name_huge": pax(("path", "n" * 100_000 + ".png")) + whole,
        "checksum": whole[:150] + b"9" + whole[151:],
    }


def sparse_members(name: str, data: bytes) -> dict[str, bytes]:
    """{case: a member with holes}, each with a map of its own kind; tarfile fails at most of them."""
    whole = header(name, len(data)) + filled(data)
    version = (("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9"))
    size = ("GNU.sparse.size", str(len(data)))
    old = {"kind": b"S", "magic": b"ustar  \0"}
    return {
        "pax_sparse10": pax(*version) + whole,
        "pax_sparse_map_text": pax(("GNU.sparse.map", "a,b"), size) + whole,
        "pax_sparse_size_text": pax(("GNU.sparse.size", "x"), ("GNU.sparse.numblocks", "x")) + whole,
        "old_sparse": header(name, len(data), **old) + filled(data),
        "old_sparse_map": header(name, len(data), at482=b"\1", **old) + bytes(BLOCK) + filled(data),
    }
