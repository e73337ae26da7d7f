"""PAL from a folder and from a zip: exact samples, exact reasons, tasks told, nothing escapes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.__main__ import main
from shards.check import check_run
from shards.human.pal import tasks_by_key
from shards.human.pal_files import match_task, task_of_name
from shards.reader import ShardReader


def picture(seed: int, kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (32, 24)) -> bytes:
    array = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(array, mode).save(buffer, kind)
    return buffer.getvalue()


def png(values: np.ndarray, colour_type: int = 0, depth: int = 8, palette: bytes = b"") -> bytes:
    """A PNG put together by hand: signature, IHDR, PLTE, IDAT without filters, IEND."""
    rows = np.packbits(values, axis=1) if depth == 1 else values
    raw = b"".join(b"\0" + row.tobytes() for row in rows.astype(np.uint8))
    height, width = values.shape
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
        if body or name == b"IEND"
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def label(seed: int = 0, size: tuple[int, int] = (32, 24)) -> np.ndarray:
    values = np.zeros((size[1], size[0]), np.uint8)
    values[4:9, 5 : 12 + seed] = 1
    return values


SHOWN = bytes((0, 0, 0, 200, 30, 30))
FILES: dict[str, bytes] = {
    "stylegan2/images/train/ffhq_seed0001.jpg": picture(1),
    "stylegan2/labels/train/ffhq_seed0001.png": png(label(1)),
    "stylegan2/images/train/odd_name.jpg": picture(2, "PNG"),  # PNG inside .jpg
    "stylegan2/labels/train/odd_name.png": png(label(2), colour_type=3, palette=SHOWN),
    "stylegan2/images/train/clean.jpg": picture(3),
    "stylegan2/labels/train/clean.png": png(np.zeros((24, 32), np.uint8), depth=1),
    "stylegan2/images/val/no_label.jpg": picture(4),
    "stylegan2/images/test/wide.jpg": picture(5),
    "stylegan2/labels/test/wide.png": png(label(size=(64, 48))),  # of another size
    "stylegan2/labels/test/orphan.png": png(label()),
    "portraitshadowremoval/images/test/first-in12.jpg": picture(6, "PNG", "RGBA"),
    "portraitshadowremoval/labels/test/first-in12.png": png(label(3)),
    "portraitshadowremoval/images/test/bright.jpg": picture(7),
    "portraitshadowremoval/labels/test/bright.png": png(label() * 255),  # 0 and 255: 255 means ignore elsewhere
    "portraitshadowremoval/images/test/torn.jpg": picture(8)[:150],
    "portraitshadowremoval/labels/test/torn.png": png(label()),
    "portraitshadowremoval/images/test/text.jpg": picture(9),
    "portraitshadowremoval/labels/test/text.png": b"not a png",
    "portraitshadowremoval/images/loose.jpg": picture(10),
    "unified/unified_mmseg/images/test/super_resolution_obj_a.jpg": picture(11),
    "unified/unified_mmseg/labels/test/super_resolution_obj_a.png": png(label()),
    "unified/unified_mmseg/images/test/ffhq_seed0524.jpg": picture(12),
    "unified/unified_mmseg/labels/test/ffhq_seed0524.png": png(label()),
    "unified/unified_mmseg/images/test/seen_before.jpg": picture(3),  # the bytes of stylegan2's clean.jpg
    "unified/unified_mmseg/labels/test/seen_before.png": png(label()),
    "unified/unified_mmseg/images/test/mystery.jpg": picture(13),
    "unified/unified_mmseg/labels/test/mystery.png": png(label()),
    "README.txt": b"words",
    "stylegan2/images/train/.DS_Store": b"x",
}
RUNS = {
    ("stylegan2", "train"): ["clean", "ffhq_seed0001", "odd_name"],
    ("stylegan2", "val"): [],
    ("stylegan2", "test"): [],
    ("portraitshadowremoval", "test"): ["first-in12"],
    ("unified", "test"): ["ffhq_seed0524", "mystery", "seen_before", "super_resolution_obj_a"],
}
REASONS = {
    "no_label.jpg": "mask_missing",
    "wide.jpg": "mask_size",
    "orphan.png": "picture_missing",
    "bright.jpg": "mask_values",
    "torn.jpg": "truncated",
    "text.jpg": "mask_values",
    "loose.jpg": "unplaced",
}


def unpack(root: Path, files: dict[str, bytes], nest: str = "") -> Path:
    for name, data in files.items():
        path = root / nest / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def pack(path: Path, files: dict[str, bytes], nest: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(nest + name, data)
    return path


@pytest.fixture(params=["folder", "nested folder", "zip", "nested zip"])
def source(request, tmp_path) -> Path:
    nest = "PAL4VST_dataset/v1/" if "nested" in request.param else ""
    if "zip" in request.param:
        return pack(tmp_path / "PAL.zip", {**FILES, "__MACOSX/stylegan2/images/train/._a.jpg": b"x"}, nest)
    return unpack(tmp_path / "PAL", FILES, nest)


def command(source: Path, out: Path, *more: str) -> int:
    return main(["import", "pal", str(source), "--out", str(out), "--per-shard", "2", *more])


def excluded(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "excluded.jsonl").read_text().splitlines()]


def stems(run: Path) -> list[str]:
    if not list(run.glob("shards/*.tar")):
        return []
    return [Path(sample.meta.source.uri).stem for sample in ShardReader(run)]


def test_exactly_these_samples_and_these_reasons(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(source, out) == 0
    found = {(run.parent.name, run.name) for run in out.glob("*/*") if run.is_dir()}
    assert found == set(RUNS)
    for (task, split), expected in RUNS.items():
        assert stems(out / task / split) == expected
        assert check_run(out / task / split).ok
    assert {Path(one["uri"]).name: one["reason"] for one in excluded(out)} == REASONS
    assert len(excluded(out)) == len(REASONS)
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if line.startswith("tasks in unified told by: "))
    assert set(line.split(": ")[1].split(", ")) == {"name 1", "bytes 1", "domain 1", "nothing 1"}
    assert "mystery.jpg" in told
    assert "10,168" in told


def test_pixels_and_tasks(source, tmp_path):
    out = tmp_path / "out"
    assert command(source, out) == 0
    clean, first, odd = ShardReader(out / "stylegan2" / "train")
    assert np.array_equal(first.mask, label(1))
    assert np.array_equal(odd.mask, label(2))
    assert not clean.mask.any()
    for sample, name in ((first, "ffhq_seed0001"), (odd, "odd_name")):
        stored = np.asarray(Image.open(io.BytesIO(FILES[f"stylegan2/images/train/{name}.jpg"])))
        assert np.array_equal(sample.image, stored)
    assert first.meta.extra == {"task": "stylegan2", "task_by": "folder", "split": "train", "label": "32x24"}
    (rgba,) = ShardReader(out / "portraitshadowremoval" / "test")
    assert rgba.image.shape == (24, 32, 3)
    tasks = tasks_by_key(out / "unified" / "test")
    assert list(tasks.values()) == ["stylegan2", "unknown", "stylegan2", "super_resolution"]
    told = [sample.meta.extra["task_by"] for sample in ShardReader(out / "unified" / "test")]
    assert told == ["domain", "nothing", "bytes", "name"]


def test_two_pictures_of_one_name_are_one_sample_and_one_reason(tmp_path):
    files = {**FILES, "stylegan2/images/train/clean.png": picture(40, "PNG")}
    assert command(pack(tmp_path / "PAL.zip", files), tmp_path / "out") == 0
    left = {one["uri"]: one["reason"] for one in excluded(tmp_path / "out") if one["reason"] == "duplicate"}
    assert left == {"stylegan2/images/train/clean.png": "duplicate"}
    assert stems(tmp_path / "out" / "stylegan2" / "train") == RUNS["stylegan2", "train"]


def test_a_label_of_another_size_can_be_stretched(tmp_path):
    source, out = pack(tmp_path / "PAL.zip", FILES), tmp_path / "out"
    assert command(source, out, "--other-size", "stretch", "--tasks", "stylegan2") == 0
    (sample,) = ShardReader(out / "stylegan2" / "test")
    assert sample.mask.shape == (24, 32)
    assert np.array_equal(sample.mask, label(size=(64, 48))[1::2, 1::2])
    assert [path.name for path in out.iterdir() if path.is_dir()] == ["stylegan2"]


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".index.npz")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_command_again_makes_what_is_missing(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert command(source, out) == 0
    whole = tree(out)
    (out / "stylegan2" / "train" / "shards" / "00001.stats.json").unlink()
    made = []
    from shards.human.pal import Maker

    make = Maker.make
    monkeypatch.setattr(Maker, "make", lambda self, index: made.append(index) or make(self, index))
    assert command(source, out) == 0
    assert tree(out) == whole
    assert made == [2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stylegan2/images/train/new.jpg": picture(20)}, "items: 3 there, 4 now"),
        ({"stylegan2/labels/train/clean.png": png(label())}, "fingerprint"),
        ({"stylegan2/images/train/clean.jpg": picture(3, size=(48, 48))}, "image_bytes"),
    ],
)
def test_a_changed_set_is_an_error_that_says_what(tmp_path, capsys, change, words):
    out = tmp_path / "out"
    assert command(unpack(tmp_path / "PAL", FILES), out) == 0
    assert command(unpack(tmp_path / "PAL", change), out) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "stylegan2/train holds a run made with something else" in told


def test_names_that_lead_out_of_the_archive_are_refused(tmp_path):
    names = ["../../evil/images/train/a.jpg", "/abs/images/train/b.jpg", "C:\\x\\images\\train\\c.jpg"]
    source = pack(tmp_path / "PAL.zip", FILES)
    with zipfile.ZipFile(source, "a") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), picture(30))
    outside = {path for path in tmp_path.parent.rglob("*") if tmp_path / "out" not in (path, *path.parents)}
    assert command(source, tmp_path / "out") == 0
    left = {one["uri"]: one["reason"] for one in excluded(tmp_path / "out") if one["reason"] == "unsafe_name"}
    assert sorted(left) == sorted(names)
    assert outside == {p for p in tmp_path.parent.rglob("*") if tmp_path / "out" not in (p, *p.parents)}


def test_a_folder_of_an_unknown_task_keeps_a_safe_name_and_is_told(tmp_path, capsys):
    files = {"Blob GAN/images/test/a.jpg": picture(1), "Blob GAN/labels/test/a.png": png(label())}
    assert command(pack(tmp_path / "PAL.zip", files), tmp_path / "out") == 0
    assert stems(tmp_path / "out" / "blob_gan" / "test") == ["a"]
    assert "none of PAL's eleven tasks: blob_gan" in capsys.readouterr().out


def test_the_root_may_be_one_tasks_folder(tmp_path):
    files = {name.removeprefix("stylegan2/"): data for name, data in FILES.items() if name.startswith("stylegan2/")}
    assert command(unpack(tmp_path / "stylegan2", files), tmp_path / "out") == 0
    assert stems(tmp_path / "out" / "stylegan2" / "train") == RUNS["stylegan2", "train"]


def test_a_member_with_a_wrong_checksum_is_left_out(tmp_path):
    source = tmp_path / "PAL.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_STORED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    content = bytearray(source.read_bytes())
    inside = content.index(FILES["stylegan2/images/train/odd_name.jpg"])
    content[inside + 100] ^= 1
    source.write_bytes(content)
    assert command(source, tmp_path / "out") == 0
    assert stems(tmp_path / "out" / "stylegan2" / "train") == ["clean", "ffhq_seed0001"]
    assert "odd_name.jpg" in {
        Path(one["uri"]).name for one in excluded(tmp_path / "out") if one["reason"] == "unreadable"
    }


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 7\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("PAL.zip", POINTER, "Git LFS pointer"),
        ("PAL.zip", b"PK\x03\x04 cut", "no readable zip"),
        ("PAL", {"a/b.jpg": picture(1)}, "holds no pictures of PAL"),
        ("PAL", {"inner.zip": b"x"}, "it holds inner.zip: name that"),
        ("nothing", None, "does not exist"),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, capsys, name, content, words):
    if isinstance(content, dict):
        unpack(tmp_path / name, content)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    assert command(tmp_path / name, tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_mistyped_task_is_named(tmp_path, capsys):
    assert command(pack(tmp_path / "PAL.zip", FILES), tmp_path / "out", "--tasks", "stylegan") == 2
    assert "did you mean 'stylegan2'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("stylegan2_seed1", "stylegan2"),
        ("super_resolution_obj_s", "super_resolution"),
        ("superresolution-1", "super_resolution"),
        ("portrait_shadow_removal_3", "portraitshadowremoval"),
        ("PortraitShadowRemoval", "portraitshadowremoval"),
        ("ldm", "ldm"),
        ("text2image_dalle_1", "text2image"),
        ("ldmx_1", ""),
        ("inpainting_1", ""),
        ("my_ldm", ""),
    ],
)
def test_tasks_in_names(name, task):
    assert match_task(name) == task


def test_a_domain_stands_for_its_task():
    assert task_of_name("afhqcat_seed0125") == ("stylegan2", "domain")
    assert task_of_name("000123") == ("unknown", "nothing")
