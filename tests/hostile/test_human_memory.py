"""Human sets whose few bytes stand for many: peak memory stays below 1 GB above the idle command."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
import richhf_bytes as made
from harness import Outcome, run_apart

from shards.human.crc32c import crc32c
from shards.human.tfrecord import MAX_PAYLOAD


def frame(payload: bytes) -> bytes:
    """As richhf_bytes.frame, whose checksum takes a minute for such lengths."""
    length = struct.pack("<Q", len(payload))
    sums = (struct.pack("<I", made.mask_crc(crc32c(data))) for data in (length, payload))
    return length + next(sums) + payload + next(sums)


def import_records(folder: Path, *payloads: bytes) -> list[str]:
    """The reasons of what was left out."""
    (folder / "train.tfrecord").write_bytes(b"".join(map(frame, payloads)))
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.parquet").write_bytes(b"PAR1")  # not opened where every record is left out
    run_apart(
        ["shards", "import", "richhf", "train.tfrecord", "--pictures", "pictures", "--out", "out"], folder, "out", (0,)
    )
    return reasons(folder)


def reasons(folder: Path) -> list[str]:
    return [json.loads(line)["reason"] for line in (folder / "out" / "excluded.jsonl").read_text().splitlines()]


def import_zip(folder: Path, codes: tuple[int, ...] = (0,)) -> Outcome:
    return run_apart(["shards", "import", "pal", "set.zip", "--out", "out"], folder, "out", codes)


def test_a_record_of_the_longest_payload(tmp_path):
    assert import_records(tmp_path, bytes(MAX_PAYLOAD)) == ["corrupt_record"]


@pytest.mark.slow
def test_a_record_beyond_the_longest_costs_itself_alone(tmp_path):
    small = made.encode(made.grey_map(3, side=32))
    nothing = made.record("train/uid-1.png", small, small, (1.0, 1.0, 1.0, 1.0))  # fits any number of people
    payloads = (bytes(4 * MAX_PAYLOAD), nothing)
    assert import_records(tmp_path, *payloads) == ["corrupt_record", "annotators_unknown"]


@pytest.mark.slow
def test_records_of_more_values_than_bytes_of_memory(tmp_path):
    many = made.field(1, made.field(1, b"filename") + made.field(2, made.field(1, b"\x0a\x00" * (1 << 24))))
    floats = made.field(1, made.field(1, b"artifact_map") + made.field(2, made.field(2, made.field(1, bytes(1 << 25)))))
    names = b"".join(made.field(1, made.field(1, b"%d" % number)) for number in range(1 << 19))
    payloads = [made.field(1, body) for body in (many, floats, names)]
    assert import_records(tmp_path, *payloads) == ["corrupt_record"] * 3


@pytest.mark.slow
def test_a_file_of_empty_records(tmp_path):
    (tmp_path / "train.tfrecord").write_bytes(made.frame(b"") * (1 << 22))
    command = ["shards", "import", "richhf", "train.tfrecord", "--pictures", ".", "--out", "out"]
    assert "records; at most" in run_apart(command, tmp_path, "out", (2,)).err


def grey_png(side: int) -> bytes:
    """A black PNG of `side` squared pixels, put together row by row."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b"")]
    framed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.slow
def test_members_that_unpack_to_more_than_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in (("a", 1 << 27), ("b", (1 << 27) + 1), ("c", 1 << 29)):
            with archive.open(f"ldm/images/train/{name}.png", "w") as member:
                for _ in range(size >> 20):
                    member.write(bytes(1 << 20))
                member.write(bytes(size % (1 << 20)))
        for name, side in (("d", 5792), ("e", 8192), ("f", 40_000)):  # 32, 64 and 1600 million pixels
            archive.writestr(f"ldm/images/train/{name}.png", grey_png(side))
        for name in "abcdef":
            archive.writestr(f"ldm/labels/train/{name}.png", grey_png(5792))
    assert import_zip(tmp_path).code == 0
    assert reasons(tmp_path) == ["not_image", "too_large", "too_large", "too_large", "too_large"]


@pytest.mark.slow
def test_a_bomb_of_bzip2_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_BZIP2) as archive:
        with archive.open("ldm/images/train/a.png", "w") as member:
            for _ in range(120):
                member.write(bytes(1 << 20))
        archive.writestr("ldm/labels/train/a.png", grey_png(32))
    data = bytearray((tmp_path / "set.zip").read_bytes())
    (tmp_path / "set.zip").write_bytes(data)
    import_zip(tmp_path)
    assert reasons(tmp_path) == ["unreadable"]


@pytest.mark.slow
@pytest.mark.parametrize(("num_files", "code"), [(240_000, 0), (500_000, 2)])
def test_directories_of_many_members(tmp_path, num_files, code):
    """All members but two are entries of the directory alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ldm/images/train/a.png", made.photo(0, (32, 32), "PNG"))
        archive.writestr("ldm/labels/train/a.png", grey_png(32))
    data = buffer.getvalue()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = bytearray(data[start : start + 46])
    entry[28:30] = struct.pack("<H", 6)
    stray = b"".join(bytes(entry) + b"%06x" % number for number in range(num_files))
    directory = data[start:end] + stray
    (tmp_path / "set.zip").write_bytes(
        data[:start] + directory + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 2, 2, len(directory), start, 0)
    )
    assert import_zip(tmp_path, (code,)).code == code


@pytest.mark.slow
def test_pages_and_dictionaries_of_a_table(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "pictures").mkdir()
    png = made.encode(made.grey_map(3, (1, 2, 2, 30, 30), (2, 8, 8, 24, 24), side=32), "PNG")
    (tmp_path / "train.tfrecord").write_bytes(made.frame(made.record("uid-0.png", png, png, (0.25, 0.25, 0.5, 1.0))))
    for jpg, dictionary in (([bytes(1 << 29), b""], False), ([bytes((1 << 25) + 1)] * 9, True)):
        uids, rows = ["uid-0"] + ["x"] * (len(jpg) - 1), len(jpg)
        pictures = {"jpg_0": pa.array(jpg, pa.binary()), "jpg_1": [b""] * rows}
        table = pa.table({"image_0_uid": uids, "image_1_uid": ["y"] * rows, **pictures})
        pq.write_table(
            table, tmp_path / "pictures" / "a.parquet", compression="zstd", use_dictionary=["jpg_0"] * dictionary,
            dictionary_pagesize_limit=1 << 30,
        )  # fmt: skip
        del table
        out = f"out{dictionary}"
        command = ["shards", "import", "richhf", "train.tfrecord", "--pictures", "pictures", "--out", out]
        assert "unpacks to" in run_apart(command, tmp_path, out, (2,)).err
