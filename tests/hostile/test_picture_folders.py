"""Folders and pictures that are none: special and endless files, closed and linked folders, long captions, copies."""

from __future__ import annotations

import io
import json
import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from harness import batches, run, run_apart
from line_case import COMMAND, line_tools, make, make_case
from mutate import mutated
from PIL import Image

from corruptor.line.config import SamplesConfig
from shards.source import Reject, SourceItem, open_source
from shards.sources.duplicates import END
from shards.sources.file_source import MAX_CAPTION, FileSource
from shards.sources.folder import FolderSource
from shards.sources.image_headers import head_sides
from shards.sources.pictures import MAX_FILE_BYTES, read_mask, read_picture


def picture(kind: str = "PNG", mode: str = "RGB", side: int = 32, **options: object) -> bytes:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model = line_tools().make_pipeline(folder / "tiny")
    make(make_case(tmp_path_factory.mktemp("warm"), model), seconds=120)  # imports
    return model


def fill(folder: Path) -> dict[str, str]:
    """What must never be opened or read whole, and the word that its reject says."""
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket may have 107 bytes
        server.bind("socket.png")
        os.chdir(here)
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "dangling.png").symlink_to("nothing")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "sub").mkdir()
    (folder / "sub" / "inner.png").write_bytes(picture())
    (folder / "linked").symlink_to("sub")
    (folder / "circle").symlink_to(".")
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(3 << 30)
    return {
        "fifo.png": "FIFO",
        "socket.png": "socket",
        "zero.png": "device",
        "dangling.png": "No such file",
        "loop.png": "Too many",
        "linked": "a link to a folder",
        "circle": "a link to a folder",
        "sparse.png": "3221225472 bytes",
    }


def test_special_files_are_rejects_and_never_opened(tmp_path: Path):
    words = fill(tmp_path / "pictures")
    source = open_source("folder", root=str(tmp_path / "pictures"), select={"min_side": 8})
    assert isinstance(source, FolderSource)
    found = {source.uri(source.place(index)): source[index] for index in range(len(source))}
    assert {name for name, one in found.items() if isinstance(one, SourceItem)} == {"sub/inner.png"}
    for name, word in words.items():
        reject = found[name]
        assert isinstance(reject, Reject)
        assert word in reject.detail
        assert reject.reason == ("too_large" if name == "sparse.png" else "unreadable")


def test_masks_beside_pictures_may_be_anything(tmp_path: Path):
    pictures, masks = tmp_path / "p", tmp_path / "m"
    pictures.mkdir()
    long = "n" * 253
    for name in ("fifo.jpg", "zero.jpg", "folder.jpg", long):
        (pictures / name).write_bytes(picture())
    masks.mkdir()
    os.mkfifo(masks / "fifo.png")
    (masks / "zero.png").symlink_to("/dev/zero")
    (masks / "folder.png").mkdir()
    source = open_source("folder", root=str(pictures), masks=str(masks))
    reasons = {one.uri: one.reason for one in source if isinstance(one, Reject)}
    assert reasons == {
        "fifo.jpg": "unreadable",
        "zero.jpg": "unreadable",
        "folder.jpg": "unreadable",
        long: "mask_missing",
    }


def test_a_folder_that_may_not_be_listed_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "in.png").write_bytes(picture())
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "open.png").write_bytes(picture())
    scan = os.scandir

    def scandir(path: str) -> object:  # as root no folder is closed
        if str(path).endswith(("closed", ".hidden")):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    item, reject = sorted(open_source("folder", root=str(tmp_path)), key=lambda one: one.uri)[::-1]
    assert (item.uri, reject.uri, reject.reason) == ("open.png", "closed", "unreadable")
    (tmp_path / "closed" / "in.png").unlink()
    with pytest.raises(ValueError, match="cannot be listed"):
        open_source("folder", root=str(tmp_path / "closed"))


def test_the_line_over_such_a_folder(model: Path, tmp_path: Path):
    case = make_case(tmp_path, model)
    words = fill(case / "pictures")
    done = make(case, codes=(0,))
    rejects = [json.loads(line) for line in (case / "out/rejects.jsonl").read_text().splitlines()]
    assert {*words, "picture 00.png"} == {one["uri"] for one in rejects}
    assert "5 samples" in done.out


def test_gathering_such_a_folder(tmp_path: Path):
    words = fill(tmp_path / "pictures")
    run(["shards", "gather", "folder", "--set", "root=pictures", "--out", "seen"], tmp_path, out="seen", codes=(0,))
    rejects = [json.loads(line) for line in (tmp_path / "seen/rejects.jsonl").read_text().splitlines()]
    assert {one["uri"] for one in rejects} == set(words)
    assert (tmp_path / "seen/sub__inner.png.png").is_file()


@pytest.mark.slow
def test_memory_over_such_a_folder(tmp_path: Path):
    fill(tmp_path / "pictures")
    run_apart(["shards", "gather", "folder", "--set", "root=pictures", "--out", "seen"], tmp_path, out="seen")


@pytest.mark.slow
def test_memory_of_gathering_large_files(tmp_path: Path):
    """Eight files of the largest size, read by sixteen threads."""
    (tmp_path / "pictures").mkdir()
    for number in range(8):
        path = tmp_path / "pictures" / f"{number}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
        os.truncate(path, MAX_FILE_BYTES)
    command = ["shards", "gather", "folder", "--set", "root=pictures", "--out", "seen"]
    run_apart(command, tmp_path, out="seen", codes=(0,), seconds=20)


@pytest.mark.slow
def test_memory_of_the_line_over_large_pictures(model: Path, tmp_path: Path):
    case = make_case(tmp_path, model, 1)  # and a copy of its picture
    for number in range(4):
        large = Image.new("RGBA", (8192, 8192), (number, 99, 180, 200))
        large.save(case / "pictures" / f"{number}.png", compress_level=1)
    run_apart(COMMAND, case, out="out", codes=(0,), seconds=60)
    stats = [json.loads(path.read_text()) for path in (case / "out" / "shards").glob("*.stats.json")]
    assert sum(one["samples"] for one in stats) >= 4


def test_a_phones_picture_is_one_picture_and_an_animation_is_none():
    second = Image.new("RGB", (16, 16))
    phone = picture("MPO", save_all=True, append_images=[second])
    with Image.open(io.BytesIO(phone)) as opened:
        assert (opened.format, opened.n_frames) == ("MPO", 2)
    seen = read_picture(phone, "x")
    assert not isinstance(seen, Reject)
    assert seen.shape == (32, 32, 3)
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        found = read_picture(picture(kind, save_all=True, append_images=[second.resize((32, 32))]), "x")
        assert isinstance(found, Reject)
        assert found.reason == "animated"


KINDS = (
    picture("PNG"), picture("PNG", "RGBA"), picture("PNG", "P"), picture("JPEG"), picture("JPEG", "CMYK"),
    picture("WEBP"), picture("GIF", "P"), picture("BMP"), picture("TIFF"), picture("TIFF", compression="tiff_lzw"),
    picture("PPM"), picture("MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))]),
)  # fmt: skip


@pytest.mark.parametrize("seeds", batches(ci=120, slow=3000, size=120))
def test_mutated_pictures(seeds: range):
    for seed in seeds:
        data = mutated(KINDS[seed % len(KINDS)], seed, block=32)
        began = time.monotonic()
        found = read_picture(data, "x")
        assert isinstance(found, Reject) or found.shape[2] == 3
        assert isinstance(read_mask(data, "x", (32, 32)), (Reject, np.ndarray))
        sides = head_sides(data[:4096])
        assert sides is None or len(sides) == 2
        assert time.monotonic() - began < 5


CAPTIONS = {
    "words": "word " * 20_000,
    "very many words": "word " * 240_000,
    "no blank": "x" * 30_000,
    "quotes": '"' * 50_000 + " ABCDEF" * 20_000,
    "open quotes": "“" * 100_000,
    "apostrophes": " 'a" * 50_000,
    "capitals": "A" * 100_000 + "b",
    "one word of lettering": '"' + "ab" * 2000 + '"',
    "blanks": " " * 100_000 + "a" + " " * 100_000,
}


@pytest.mark.parametrize("what", CAPTIONS)
def test_long_captions_take_less_than_a_second(tmp_path: Path, what: str):
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "a.txt").write_text(CAPTIONS[what])
    began = time.monotonic()
    item = open_source("folder", root=str(tmp_path))[0]
    assert isinstance(item, SourceItem)
    prompt = SamplesConfig(misspell=True).prompt_of(item.caption)
    assert time.monotonic() - began < 1
    whole = CAPTIONS[what].strip()
    assert item.caption == whole[:MAX_CAPTION]
    assert item.caption_cut == (len(whole) if len(whole) > MAX_CAPTION else 0)
    assert len(prompt) == len(item.caption)


def test_the_line_over_a_long_caption_says_that_it_was_cut(model: Path, tmp_path: Path):
    case = make_case(tmp_path, model)
    (case / "pictures" / "picture 01.é.txt").write_text("red car " * 150_000)
    done = make(case, "samples.misspell=True", codes=(0,))
    assert done.seconds < 30
    from shards.reader import ShardReader

    metas = [sample.meta for sample in ShardReader(case / "out", cache=False)]
    cut = {meta.source.uri: meta.extra.get("caption_characters") for meta in metas if meta.extra}
    assert set(cut.values()) == {1_199_999, None}
    assert max(len(meta.source.caption) for meta in metas) == MAX_CAPTION


class Listed(FileSource):
    """Files in memory; counts what is read of each."""

    def __init__(self, files: list[bytes], **options: object) -> None:
        from shards.sources.file_source import FileOptions

        self.files, self.whole, self.looks = files, [0] * len(files), [0] * len(files)
        super().__init__(FileOptions(min_side=1), "memory", len(files))

    def uri(self, place: int) -> str:
        return str(place)

    def byte_size(self, place: int) -> int:
        return len(self.files[place])

    def read(self, place: int) -> bytes | Reject:
        self.whole[place] += 1
        return self.files[place]

    def ends(self, place: int, size: int) -> bytes | Reject:
        self.looks[place] += 1
        data = self.files[place]
        return data if len(data) <= 2 * size else data[:size] + data[-size:]

    def caption(self, place: int) -> str:
        return ""

    def occurrence(self, index: int) -> int:
        return self._occurrence(index, self.files[index])


@pytest.mark.parametrize("seed", range(6))
def test_copies_are_counted_in_any_order(seed: int):
    rng = np.random.default_rng(seed)
    kinds = [bytes([kind]) * END + bytes([kind % 3]) * 50 + bytes([kind]) * END for kind in range(5)]
    kinds += [kinds[0][:END] + b"middle" + kinds[0][END + 6 :], b"short", b"", b"short!"]
    files = [kinds[int(kind)] for kind in rng.integers(len(kinds), size=60)]
    source = Listed(files)
    for index in rng.permutation(60):
        index = int(index)
        expected = sum(other == files[index] for other in files[:index]) if files[index] else 0
        assert source.occurrence(index) == expected
        assert source.occurrence(index) == expected  # asked again, the same


def test_copies_cost_no_second_reading_in_order_and_one_look_out_of_order():
    files = [number.to_bytes(4, "big") + bytes(3 * END) for number in range(300)] + [bytes(3 * END + 4)]
    source = Listed(files)
    assert not any(source.occurrence(index) for index in range(1, 300))
    assert (sum(source.whole), source.looks) == (0, [1] + [0] * 300)
    source = Listed(files)
    assert source.occurrence(300) == 1  # of file 0
    assert source.looks == [1] * 300 + [0]
    assert source.whole == [1] + [0] * 300


def test_many_files_of_one_size_take_linear_time(tmp_path: Path):
    for number in range(4000):
        (tmp_path / f"{number}").write_bytes(b"no picture %6d" % number)
    source = open_source("folder", root=str(tmp_path))
    began = time.monotonic()
    assert all(isinstance(one, Reject) for one in source)
    assert time.monotonic() - began < 4


HANGS = """
import sys, time
from corruptor.__main__ import main
from shards import source

class Hangs(source.Source):
    name = "hangs"
    def __len__(self): return 8
    def __getitem__(self, index):
        print("reading", flush=True)
        time.sleep(600)
    def listing(self): return iter(["x"])

sys.modules["hangs"] = sys.modules["__main__"]
source.register_source("hangs", "hangs:Hangs")
sys.exit(main(["shards", "quick.py", "--out", "out", "--set", "source={'name': 'hangs'}"]))
"""


@pytest.mark.slow
def test_ctrl_c_ends_the_line_while_readers_hang(model: Path, tmp_path: Path):
    import signal
    import subprocess
    import sys

    case = make_case(tmp_path, model)
    (case / "hang.py").write_text(HANGS)
    process = subprocess.Popen([sys.executable, "hang.py"], cwd=case, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 130
    finally:
        process.kill()
