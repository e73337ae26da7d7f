"""Shards, their JSON and manifests from outside: `check` names a problem, `show` draws a sheet or says one line."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import batches, run, run_apart
from mutate import mutated, mutated_json
from PIL import Image
from tar_cases import END, header, pax, plain, sparse_members, strange_starts, written

from shards.schema import encode_image, encode_sample

DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.fixture
def members(sample: Callable[..., Any]) -> list[tuple[str, bytes]]:
    """(name, data) of two samples."""
    return [
        (f"00000_{row:05d}.{name}", data) for row in range(2) for name, data in encode_sample(sample(0, row)).items()
    ]


def replaced(members: list[tuple[str, bytes]], ending: str, data: bytes) -> list[tuple[str, bytes]]:
    """The first member with this ending gets other bytes."""
    first = next(name for name, _ in members if name.endswith(ending))
    return [(name, data if name == first else old) for name, old in members]


def check_problem(folder: Path, data: bytes) -> str:
    """What `check` says of a tar, which must be wrong; `show` must end as well."""
    (folder / "00000.tar").write_bytes(data)
    done = run(["shards", "check", "00000.tar"], folder, codes=(1, 2))
    run(["shards", "show", "00000.tar", "--out", "sheet.png"], folder, out="sheet.png")
    return done.out + done.err


@pytest.mark.parametrize("case", [*strange_starts("", b""), *sparse_members("", b"")])
@pytest.mark.parametrize("place", ["raw", "tail"])
def test_damaged_tars(tmp_path: Path, members: list[tuple[str, bytes]], case: str, place: str):
    name = "00000_00002.json"
    strange = {**strange_starts(name, b"{}"), **sparse_members(name, b"{}")}[case]
    data = strange + plain(members) if place == "raw" else plain(members) + strange
    assert "00000.tar: " in check_problem(tmp_path, data + END)


NUMBERS = {"deep": DEEP, "inf": b"Infinity", "nan": b"NaN", "bigint": b"9" * 400, "float": b"1e999", "text": b'"x"'}


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("field", ["seed", "area", "options", "components"])
def test_numbers_of_the_json(tmp_path: Path, members: list[tuple[str, bytes]], value: str, field: str):
    facts = json.loads(dict(members)["00000_00000.json"])
    hostile = NUMBERS[value]
    if field == "options":
        facts["corruption"]["options"] = '{"k": ' + hostile.decode() + "}"
        text = json.dumps(facts).encode()
    else:
        facts["mask" if field == "area" else "source"]["area" if field == "area" else "index"] = "PLACE"
        if field == "seed":
            facts["source"]["index"], facts["seed"] = 0, "PLACE"
        if field == "components":
            facts["source"]["index"], facts["components"] = 0, "PLACE"
        text = json.dumps(facts).encode().replace(b'"PLACE"', hostile)
    if (field, value) == ("options", "text"):
        return  # an option may be text
    said = check_problem(tmp_path, written(replaced(members, ".json", text)))
    assert "00000_00000" in said or "00000.tar" in said


JSONS = {
    "empty": b"", "null": b"null", "list": b"[]", "open": b"{", "latin": b'{"a": "\xff"}', "twice": b"{}{}",
    "deep": DEEP, "long": b'"' + b"x" * (17 << 20) + b'"', "many": b"[" + b"0," * 600_000 + b"0]", "nul": b"\0" * 100,
}  # fmt: skip


@pytest.mark.parametrize("case", JSONS)
def test_what_is_no_facts(tmp_path: Path, members: list[tuple[str, bytes]], case: str):
    assert (
        "1 samples" not in check_problem(tmp_path, written(replaced(members, ".json", JSONS[case]))).partition("\n")[0]
    )


KEYS = {
    "absolute": "/PWNED_BY_KEY", "up": "up/PWNED", "uni": "००००१_००००१", "huge": "0" * 2000 + "_" + "0" * 2000,
    "long": "k" * 3000, "empty": "", "other": "a_b", "three": "00000_00000_00000", "control": "00000_00000\n\x1b[31m",
}  # fmt: skip


@pytest.mark.parametrize("case", KEYS)
def test_keys(tmp_path: Path, members: list[tuple[str, bytes]], case: str):
    renamed = [(name.replace("00000_00001", KEYS[case]), data) for name, data in members]
    assert "has no key of the form 00000_00000" in check_problem(tmp_path, written(renamed))


def test_members_that_appear_twice_or_are_foreign(tmp_path: Path, members: list[tuple[str, bytes]]):
    doubled = [*members[:1], members[0], *members[1:]]
    assert "'00000_00000.json' appears twice" in check_problem(tmp_path, written(doubled))
    late = [*members, ("00000_00000.json", members[0][1])]
    assert "00000_00000" in check_problem(tmp_path, written(late))
    for name in ("00000_00001.exe", "00000_00001", "00000_00001.json.json", "README"):
        assert "is not one of json, mask.png" in check_problem(tmp_path, written([*members, (name, b"x")]))
    link = plain(members) + header("00000_00002.json", 0, b"1", "00000_00001.json") + END
    assert "is a hard link, is not one of" in check_problem(tmp_path, link)
    assert "and more follows at byte" in check_problem(tmp_path, written(members) + written(members))


def png_of(width: int, height: int, mode: int = 2) -> bytes:
    """A PNG whose header promises so many pixels, with few bytes behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [(1 << 31) - 1, 60_000, 9000, 0])
@pytest.mark.parametrize("member", [".mask.png", ".webp"])
def test_pictures_that_promise_too_much(tmp_path: Path, members: list[tuple[str, bytes]], side: int, member: str):
    data = png_of(side, side, 0 if "mask" in member else 2)
    assert "00000_00000" in check_problem(tmp_path, written(replaced(members, member, data)))


def test_masks_of_other_kinds(tmp_path: Path, members: list[tuple[str, bytes]]):
    grey = np.zeros((32, 32), np.uint8)
    webp, animated = io.BytesIO(), io.BytesIO()
    Image.fromarray(grey).save(webp, "WEBP", lossless=True)
    Image.fromarray(grey).save(animated, "GIF", save_all=True, append_images=[Image.fromarray(grey)])
    for data in (
        webp.getvalue(),
        animated.getvalue(),
        encode_image(np.full((32, 32), 3, np.uint8), "png"),
        b"",
        b"PNG",
    ):
        assert "00000_00000" in check_problem(tmp_path, written(replaced(members, ".mask.png", data)))


def test_memory_stays_bounded(tmp_path: Path, members: list[tuple[str, bytes]]):
    """A member of 3 GB, and the largest sample that is read, with a mask of sixteen million dots."""
    with (tmp_path / "00000.tar").open("wb") as file:
        file.write(header("00000_00000.json", 3 << 30))
        file.seek(3 << 30, os.SEEK_CUR)
        file.write(plain(members[1:]) + END)
    done = run_apart(["shards", "check", "00000.tar"], tmp_path, codes=(1,))
    assert "at most 16777216 are read" in done.out


@pytest.mark.slow
def test_the_largest_sample(tmp_path: Path, members: list[tuple[str, bytes]]):
    """8192 x 8192 pixels, and a mask of sixteen million dots."""
    dots = np.zeros((8192, 8192), np.uint8)
    dots[::2, ::2] = 255
    black = encode_image(np.zeros((8192, 8192, 3), np.uint8), "png")  # decoding a WebP takes twice as much
    for ending, data in {".mask.png": encode_image(dots, "png"), "source.webp": black, "0.webp": black}.items():
        members = replaced(members, ending, data)
    (tmp_path / "00000.tar").write_bytes(written(members))
    assert "the mask holds" in run_apart(["shards", "check", "00000.tar"], tmp_path, codes=(1,)).out
    run_apart(["shards", "show", "00000.tar", "--out", "sheet.png"], tmp_path, out="sheet.png")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--side", "100000"], 2), (["--columns", "1000000000"], 2), (["--side", "9" * 30], 2), (["--n", "9" * 30], 0),
        (["--columns", "9" * 5000], 2), (["--n", "0"], 2), (["--side", "-1"], 2), (["--side", "1"], 0),
        (["--keys", "9" * 5000], 2), (["--keys", "é", "\x1b[31m"], 2), (["--keys", "\0"], 2),
        (["--keys", "00000_00001"], 0),
    ],
)  # fmt: skip
def test_options_of_the_sheet(tmp_path: Path, members: list[tuple[str, bytes]], options: list[str], code: int):
    (tmp_path / "00000.tar").write_bytes(written(members))
    run(["shards", "show", "00000.tar", "--out", "sheet.png", *options], tmp_path, out="sheet.png", codes=(code,))
    assert (tmp_path / "sheet.png").exists() == (code == 0)


@pytest.mark.parametrize(
    "caption", ["w" * 1_200_000, "word " * 400_000, " " * 100_000 + "x", "猫" * 100_000, "\0\n\x1b[31m\u202e"]
)
def test_captions_of_any_length(tmp_path: Path, members: list[tuple[str, bytes]], caption: str):
    facts = json.loads(dict(members)["00000_00000.json"])
    facts["source"]["caption"] = facts["source"]["uri"] = facts["corruption"]["method"] = caption
    (tmp_path / "00000.tar").write_bytes(written(replaced(members, ".json", json.dumps(facts).encode())))
    assert run(["shards", "show", "00000.tar", "--out", "sheet.png"], tmp_path, out="sheet.png", codes=(0,)).seconds < 5
    run(["shards", "check", "00000.tar"], tmp_path, codes=(0,))


MANIFESTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "list": lambda m: [],
    "null": lambda m: None,
    "name_int": lambda m: m["shards"][0].update(name=5),
    "name_up": lambda m: m["shards"][0].update(name="../../etc/passwd"),
    "name_long": lambda m: m["shards"][0].update(name="n" * 100_000 + "\n\x1b"),
    "name_null": lambda m: m["shards"][0].pop("name"),
    "sha256_int": lambda m: m["shards"][0].update(sha256=5),
    "shards_str": lambda m: m.update(shards="00000.tar"),
    "shards_strs": lambda m: m.update(shards=["00000.tar"]),
    "shards_int": lambda m: m.update(shards=7),
    "shards_none": lambda m: m.update(shards=[]),
    "totals_gone": lambda m: m.pop("totals"),
    "totals_list": lambda m: m.update(totals=[]),
    "samples_text": lambda m: m["totals"].update(samples="8"),
    "samples_bool": lambda m: m["totals"].update(samples=True),
    "rejects_text": lambda m: m["totals"].update(rejects={"no_region": "2"}),
    "rejects_list": lambda m: m["totals"].update(rejects=[2]),
    "rejects_huge": lambda m: m["totals"].update(rejects={"x": 1 << 63}),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifests(finished_run: Path, case: str):
    path = finished_run / "manifest.json"
    manifest = json.loads(path.read_bytes())
    value = MANIFESTS[case](manifest)
    path.write_text(json.dumps(value if case in ("list", "null") else manifest))
    done = run(["shards", "check", "run"], finished_run.parent, codes=(1,))
    assert "manifest.json" in done.out


@pytest.mark.parametrize(
    "data", [DEEP, b"", b"{", b"\xff", b'{"shards": ' + DEEP + b"}", b'{"shards": NaN}', b"[" * 5_000_000]
)
def test_manifests_that_are_no_json(finished_run: Path, data: bytes):
    (finished_run / "manifest.json").write_bytes(data)
    assert "manifest.json: damaged" in run(["shards", "check", "run"], finished_run.parent, codes=(1,)).out


@pytest.mark.parametrize("name", ["manifest.json", "rejects.jsonl", "shards/00000.tar", "shards/.index.npz"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "zero", "lost"])
def test_other_files_in_the_place_of_a_runs_own(finished_run: Path, name: str, kind: str):
    path = finished_run / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "zero" else "nowhere")
    done = run(["shards", "check", "run"], finished_run.parent, codes=(0,) if "index" in name else (1, 2))
    assert done.seconds < 5
    run(["shards", "show", "run", "--out", "sheet.png"], finished_run.parent, out="sheet.png")


@pytest.mark.parametrize("seeds", batches(ci=25, slow=400))
def test_mutated_shards(tmp_path: Path, members: list[tuple[str, bytes]], seeds: range):
    sound = pax(("mtime", "1.5")) + written(members)
    path = tmp_path / "00000.tar"
    path.write_bytes(sound)
    run(["shards", "check", "00000.tar"], tmp_path, codes=(0,))
    for seed in seeds:
        path.write_bytes(mutated(sound, seed))
        run(["shards", "check", "00000.tar"], tmp_path, codes=(0, 1, 2))
        run(["shards", "show", "00000.tar", "--out", "sheet.png"], tmp_path, out="sheet.png")


@pytest.mark.parametrize("seeds", batches(ci=25, slow=300))
def test_mutated_facts(tmp_path: Path, members: list[tuple[str, bytes]], seeds: range):
    facts = json.loads(members[0][1])
    for seed in seeds:
        data = written(replaced(members, ".json", mutated_json(facts, seed)))
        (tmp_path / "00000.tar").write_bytes(data)
        run(["shards", "check", "00000.tar"], tmp_path, codes=(0, 1, 2))
        run(["shards", "show", "00000.tar", "--out", "sheet.png"], tmp_path, out="sheet.png")


@pytest.mark.parametrize("seeds", batches(ci=25, slow=300))
def test_mutated_manifests(finished_run: Path, seeds: range):
    path = finished_run / "manifest.json"
    manifest = json.loads(path.read_bytes())
    for seed in seeds:
        path.write_bytes(mutated_json(manifest, seed))
        run(["shards", "check", "run"], finished_run.parent, codes=(0, 1, 2))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"images": [], "annotations": []}', '{"images": [' + "1," * 100_000, " [1e999"]
)
def test_annotations_of_coco_are_named_and_not_read(tmp_path: Path, text: str):
    (tmp_path / "labels.json").write_text(text)
    for command in (["shards", "check", "labels.json"], ["shards", "show", "labels.json", "--out", "sheet.png"]):
        assert "is a JSON file (COCO annotations" in run(command, tmp_path, codes=(2,)).err
