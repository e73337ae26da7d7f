"""Folder and tar sources: order, captions, duplicates, damage in the middle of a list."""

from __future__ import annotations

import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.errors import ConfigError, MissingInputError, SourceError
from shards.source import REASONS, SOURCES, Reject, Source, SourceItem, open_source, register_source
from shards.sources.stores import find_files
from shards.sources.tars import caption_of


def picture(seed: int, kind: str = "PNG", side: int = 24) -> bytes:
    array = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def outcomes(source: Source) -> dict[str, str]:
    return {one.uri: one.reason if isinstance(one, Reject) else "item" for one in source}


def fill(root: Path) -> None:
    (root / "sub dir").mkdir(parents=True)
    (root / "b.jpg").write_bytes(picture(1))  # PNG bytes under another name
    (root / "b.txt").write_text("a caption  \n", encoding="utf-8-sig")
    (root / "sub dir" / "naïve 猫.v1.final.webp").write_bytes(picture(2, "WEBP"))
    (root / "sub dir" / "naïve 猫.v1.final.txt").write_bytes(b"caf\xe9")
    (root / "no extension").write_bytes(picture(3))
    (root / "empty.png").write_bytes(b"")
    (root / "cut.png").write_bytes(picture(4)[:200])
    (root / "program.exe").write_bytes(b"MZ\x90\0")
    (root / ".hidden.png").write_bytes(picture(5))
    (root / "notes.md").write_text("text")
    os.symlink(root / "gone", root / "dangling.png")


def test_a_folder_of_everything(tmp_path):
    fill(tmp_path)
    source = open_source("folder", root=str(tmp_path), licence="CC0-1.0")
    assert outcomes(source) == {
        "b.jpg": "item",
        "cut.png": "truncated",
        "dangling.png": "unreadable",
        "empty.png": "empty",
        "no extension": "item",
        "program.exe": "not_image",
        "sub dir/naïve 猫.v1.final.webp": "item",
    }
    item = source[0]
    assert isinstance(item, SourceItem)
    assert (item.caption, item.licence, item.set_name) == ("a caption", "CC0-1.0", tmp_path.name)
    assert source[6].caption == "caf\ufffd"
    with pytest.raises(IndexError, match=r"outside 0\.\.6"):
        source[7]


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    fill(tmp_path)
    before = open_source("folder", root=str(tmp_path)).fingerprint()
    walk = os.walk
    backwards = lambda root, **rest: [(f, d, names[::-1]) for f, d, names in reversed(list(walk(root, **rest)))]  # noqa: E731
    monkeypatch.setattr(os, "walk", backwards)
    assert open_source("folder", root=str(tmp_path)).fingerprint() == before
    (tmp_path / "new.png").write_bytes(b"x")
    assert open_source("folder", root=str(tmp_path)).fingerprint() != before


def test_duplicates_are_counted_or_skipped(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 1), ("d", 1)):
        (tmp_path / name).write_bytes(picture(seed))
    (tmp_path / "e").write_bytes(picture(1) + b"\0")  # another size: cannot be equal
    kept = open_source("folder", root=str(tmp_path))
    assert [kept[i].occurrence for i in (3, 0, 4, 2, 1)] == [2, 0, 0, 1, 0]
    skipped = open_source("folder", root=str(tmp_path), duplicates="skip")
    assert list(outcomes(skipped).values()) == ["item", "item", "duplicate", "duplicate", "item"]
    with pytest.raises(ConfigError, match="known: keep, skip"):
        open_source("folder", root=str(tmp_path), duplicates="drop")


def test_masks_beside_the_pictures(tmp_path):
    pictures, masks = tmp_path / "p", tmp_path / "m"
    pictures.mkdir()
    masks.mkdir()
    for number, side in enumerate((24, 24, 24)):
        (pictures / f"{number}.jpg").write_bytes(picture(number, side=side))
    mask = np.zeros((24, 24), np.uint8)
    mask[2:4] = 255
    Image.fromarray(mask).save(masks / "0.png")
    Image.fromarray(mask[:20]).save(masks / "1.png")
    source = open_source("folder", root=str(pictures), masks=str(masks))
    assert outcomes(source) == {"0.jpg": "item", "1.jpg": "mask_size", "2.jpg": "mask_missing"}
    assert int(source[0].mask.sum()) == 48


def test_sources_that_cannot_be_used(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(SourceError, match="holds no pictures"):
        open_source("folder", root=str(tmp_path))
    with pytest.raises(MissingInputError, match="does not exist"):
        open_source("folder", root=str(tmp_path / "no"))
    with pytest.raises(SourceError, match="not a folder"):
        open_source("folder", root=str(tmp_path / "readme.txt"))
    with pytest.raises(ConfigError, match="did you mean 'folder'"):
        open_source("foldr")
    with pytest.raises(ConfigError, match="unknown option 'rot'; did you mean 'root'"):
        open_source("folder", rot="x")


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def make_tar(path: Path, first: int, num: int = 4) -> None:
    kinds = ["jpg", "jpeg", "png", "webp"]
    with tarfile.open(path, "w") as tar:
        for number in range(first, first + num):
            kind = kinds[number % 4]
            record = {"short_caption": [f"list {number}"] if number % 2 else f"text {number}"}
            add(tar, f"d/{number:03d}.json", json.dumps(record).encode())
            add(tar, f"d/{number:03d}.{kind}", picture(number, {"jpg": "JPEG", "jpeg": "JPEG"}.get(kind, kind.upper())))


def test_tars_with_mixed_extensions_and_captions(tmp_path):
    make_tar(tmp_path / "x-00.tar", 0)
    make_tar(tmp_path / "x-01.tar", 4)
    source = open_source("webdataset", tars=str(tmp_path / "x-{00..01}.tar"))
    assert [item.caption for item in source] == [f"{'list' if n % 2 else 'text'} {n}" for n in range(8)]
    assert source[5].uri == "x-01.tar#d/005"
    assert np.array_equal(source[2].image, np.asarray(Image.open(io.BytesIO(picture(2)))))
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint() == source.fingerprint()
    assert again[3].sha256 == source[3].sha256
    assert len(open_source("webdataset", tars=[str(tmp_path / "*.tar")], limit=3)) == 3


@pytest.mark.parametrize("damage", ["cut", "header", "junk", "empty", "gzip"])
def test_a_corrupt_tar_in_the_middle_loses_nothing_else(tmp_path, damage):
    for number in range(3):
        make_tar(tmp_path / f"{number}.tar", number * 4)
    path = tmp_path / "1.tar"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "header":
        with tarfile.open(path) as tar:
            offset = tar.getmember("d/006.json").offset
        data[offset : offset + 512] = b"\xff" * 512
    elif damage == "junk":
        data = bytearray(b"not a tar at all" * 100)
    elif damage == "empty":
        data = bytearray()
    else:
        import gzip

        data = bytearray(gzip.compress(bytes(data)))
    path.write_bytes(data)
    found = outcomes(open_source("webdataset", tars=str(tmp_path / "*.tar")))
    for number in (0, 1, 2, 3, 8, 9, 10, 11):
        assert found[f"{number // 4}.tar#d/{number:03d}"] == "item"
    assert found["1.tar"] == "corrupt_tar"
    if damage == "header":
        assert found["1.tar#d/005"] == "item"


def test_tar_samples_without_an_image_and_equal_bytes(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "0.txt", b"only words")
        add(tar, "1.jpg", picture(1))
        add(tar, "1.txt", b"one")
        add(tar, "2.png", picture(1))
    source = open_source("webdataset", tars=str(tmp_path / "a.tar"))
    assert [getattr(one, "reason", None) for one in source] == ["no_image", None, None]
    assert (source[1].caption, source[2].occurrence) == ("one", 1)


def test_missing_tars_and_odd_captions(tmp_path):
    with pytest.raises(MissingInputError, match="no tar matches"):
        find_files([str(tmp_path / "{0..2}.tar")])
    assert caption_of(b"[1]", ("caption",)) == ""
    assert caption_of(b"{", ("caption",)) == ""
    assert caption_of(b'{"caption": [], "text": " x "}', ("caption", "text")) == "x"


def test_the_registry_loads_lazily_and_checks_what_it_gets():
    register_source("test-only", "tests_no_such_module:thing")
    try:
        with pytest.raises(ConfigError, match="tests_no_such_module cannot be imported: ModuleNotFoundError"):
            open_source("test-only")
        SOURCES["test-only"] = "collections:Counter"
        with pytest.raises(ConfigError, match="not a Source"):
            open_source("test-only")
    finally:
        del SOURCES["test-only"]


def test_a_reject_needs_a_known_reason():
    with pytest.raises(ValueError, match="did you mean 'no_region'"):
        Reject("u", "noregion")
    assert all(text and reason == reason.lower() for reason, text in REASONS.items())
