"""The page of a run: every sample on it, nothing from outside taken for HTML or script, and runs under way."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_tools import Page, pixels, read_entries, read_page
from PIL import Image

from shards.__main__ import main
from shards.document import script_json
from shards.errors import OutputError
from shards.schema import Sample, SourceMeta
from shards.source import Reject
from shards.view.gallery import CHUNK, Column, Entry, Gallery, Panel, write_gallery
from shards.view.pictures import EDGE, FILL, overlay, thumbnail
from shards.view.plots import histogram
from shards.view.run import view_run
from shards.writer import RunInfo, RunWriter

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u2028'\"&<!--"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


@pytest.fixture
def hostile_run(tmp_path: Path, sample: Callable[..., Sample]) -> Path:
    """A run whose title, captions, names and rejects all try to be HTML."""
    info = RunInfo(config={}, source={"name": HOSTILE, "items": 4, "fingerprint": "f"}, num_shards=1, title=HOSTILE)
    run = RunWriter(tmp_path / "hostile", info)
    with run.shard(0) as shard:
        for row in range(3):
            facts = SourceMeta(HOSTILE, f"{HOSTILE}.png", "0" * 64, index=row, caption=HOSTILE)
            shard.write(sample(0, row, source=facts))
        shard.reject(Reject(HOSTILE, "label", HOSTILE), 3)
    run.finalise()
    record = {"uri": HOSTILE, "variant": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}
    run.path(0, "rejects.jsonl").write_text(json.dumps(record) + "\n")  # as no run of ours would write it
    return run.out


def test_page_of_a_run(finished_run: Path, tmp_path: Path):
    viewed = view_run(finished_run, tmp_path / "page")
    page, entries = read_page(tmp_path / "page"), read_entries(tmp_path / "page")
    page.check()
    assert (viewed.shown, viewed.samples, len(entries)) == (8, 8, 8)
    assert page.data["keys"] == [f"{shard:05d}_{row:05d}" for shard in range(2) for row in range(4)]
    columns = {column["name"]: column for column in page.data["columns"]}
    assert columns["label"]["words"] == ["artifact", "clean"]
    assert columns["label"]["values"] == [1, 1, 1, 1, 1, 0, 0, 0]
    assert columns["area"]["values"] == [None] * 5 + [0.1094] * 3  # 112 of 1024 pixels
    assert columns["change inside"]["values"] == [None] * 5 + [12.5] * 3
    assert "no_region 2" in page.text
    assert [attrs["data-reason"] for tag, attrs in page.tags if "data-reason" in attrs] == ["no_region", "no_region"]


def test_pictures_are_those_of_the_sample(finished_run: Path, tmp_path: Path, sample: Callable[..., Sample]):
    view_run(finished_run, tmp_path / "page")
    image, twin, mask = (pixels(url) for url in read_entries(tmp_path / "page")[5]["pictures"])
    real = sample(1, 1)
    assert real.source is not None
    assert np.abs(image[..., :3].astype(int).mean((0, 1)) - real.image.mean((0, 1))).max() < 4
    assert np.abs(twin[..., :3].astype(int).mean((0, 1)) - real.source.mean((0, 1))).max() < 4
    assert ((mask[..., 3] > 0) == (real.mask == 1)).all()


def test_nothing_from_outside_becomes_html_or_script(hostile_run: Path, tmp_path: Path):
    view_run(hostile_run, tmp_path / "page")
    page, entries = read_page(tmp_path / "page"), read_entries(tmp_path / "page")
    page.check()
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert [entry["caption"] for entry in entries] == [HOSTILE] * 3  # as it was, but only as text
    assert HOSTILE.replace("\u2028", " ") in page.words  # the heading, as one line
    assert page.words.count(HOSTILE) == 4  # the cells of the reject
    for path in (tmp_path / "page" / "entries").iterdir():
        assert b"<" not in path.read_bytes()


@pytest.mark.parametrize("hostile", ["</script>", "<!--", "\u2028\u2029", "\udc80 é", "&lt;"])
def test_json_in_a_script_is_ascii_without_markup(hostile: str):
    told = script_json([hostile])
    assert told.isascii()
    assert not set("<>&") & set(told)
    assert json.loads(told) == [hostile]


def test_names_that_are_no_unicode(tmp_path: Path, sample: Callable[..., Sample]):
    gallery = Gallery("a \udc80", (), (Panel("one", (0,)),), "entries", "key", (), ())
    write_gallery(tmp_path / "page", gallery, [Entry("\udc81", (), (None,), caption="\udc82")])
    assert read_page(tmp_path / "page").data["keys"] == ["\udc81"]
    assert read_entries(tmp_path / "page")[0]["caption"] == "\udc82"


def test_a_run_under_way_and_again_when_it_is_done(tmp_path: Path, run_maker: Callable[..., RunWriter]):
    run = run_maker(tmp_path / "run", finalise=False)
    (run.path(1, "tar")).rename(tmp_path / "later.tar")
    for suffix in ("stats.json", "rejects.jsonl"):
        run.path(1, suffix).rename(tmp_path / f"later.{suffix}")
    before = sorted(path for path in run.out.rglob("*") if path.is_file())
    view_run(run.out, run.out / "view", cache=False)
    page = read_page(run.out / "view")
    assert "1 of 2 shards are done" in page.text
    assert "no_region 1" in page.text
    assert len(page.data["keys"]) == 4
    assert sorted(path for path in run.out.rglob("*") if path.is_file() and "view" not in path.parts) == before
    (tmp_path / "later.tar").rename(run.path(1, "tar"))
    for suffix in ("stats.json", "rejects.jsonl"):
        (tmp_path / f"later.{suffix}").rename(run.path(1, suffix))
    run.finalise()
    view_run(run.out, run.out / "view")
    page = read_page(run.out / "view")
    assert "not complete" not in page.text
    assert len(page.data["keys"]) == 8
    assert sorted(path.name for path in (run.out / "view" / "entries").iterdir()) == [
        Path(name).name for name in page.data["files"]
    ]


def test_the_same_run_gives_the_same_page(finished_run: Path, tmp_path: Path):
    for name in ("one", "two"):
        view_run(finished_run, tmp_path / name)
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*.*")) for name in ("one", "two")
    ]
    assert files[0] == files[1]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files[0])


def test_few_of_many_and_damaged_rejects(finished_run: Path, tmp_path: Path):
    with (finished_run / "shards" / "00000.rejects.jsonl").open("ab") as file:
        file.write(b"not json\n")
    view_run(finished_run, tmp_path / "page", most=2)
    page = read_page(tmp_path / "page")
    assert page.data["keys"] == ["00000_00000", "00001_00003"]
    assert "of which 2, spread evenly, are shown" in page.text
    assert "(not readable) 1" in page.text


@pytest.fixture
def run_of_a_folder(tmp_path: Path, sample: Callable[..., Sample]) -> Path:
    """A run of four pictures in a folder: one became a sample, one was rejected, one cannot be read, one is another."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (40, 30), (50 * number, 200, 10)).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"no picture")
    config = {"source": {"name": "folder", "options": {"root": "pictures"}}}
    places = {"source.options.root": str(folder)}
    run = RunWriter(tmp_path / "of_folder", RunInfo(config, {"name": "folder", "items": 4}, 1, places=places))
    with run.shard(0) as shard:
        shard.write(sample(0, 0))
        shard.reject(Reject("1.png", "below_threshold"), 1)
        shard.reject(Reject("1.png", "below_threshold"), 1, variant=1)
        shard.reject(Reject("2.png", "unreadable"), 2)
        shard.reject(Reject("other.png", "below_threshold"), 3)
        shard.reject(Reject("9.png", "below_threshold"), 9)
    run.finalise()
    return run.out


def test_pictures_of_rejected_inputs(run_of_a_folder: Path, tmp_path: Path):
    assert main(["view", str(run_of_a_folder), "--out", str(tmp_path / "page"), "--reject-pictures", "24"]) == 0
    page = read_page(tmp_path / "page")
    page.check()
    shown = [attrs["src"] for tag, attrs in page.tags if tag == "img" and str(attrs.get("src")).startswith("data:")]
    assert len(shown) == 2  # both variants of 1.png; 2.png cannot be read, the others are not what was rejected
    picture = pixels(shown[0])
    assert np.abs(picture[15, 20, :3].astype(int) - (50, 200, 10)).max() < 12
    assert page.text.count("(none)") == 3
    view_run(run_of_a_folder, tmp_path / "plain")
    assert "(none)" not in read_page(tmp_path / "plain").text


def test_a_source_that_is_not_opened_again(run_of_a_folder: Path, finished_run: Path, tmp_path: Path, capsys: Any):
    words = ["--out", str(tmp_path / "page"), "--reject-pictures", "3"]
    assert main(["view", str(finished_run), *words]) == 2
    assert "was not made from a source" in capsys.readouterr().err
    manifest = json.loads((run_of_a_folder / "manifest.json").read_text())
    manifest["config"]["source"]["name"] = "evil.py:Source"
    (run_of_a_folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["view", str(run_of_a_folder), *words]) == 2
    assert "what a manifest names is not run" in capsys.readouterr().err
    manifest["config"]["source"]["name"] = "folder"
    (run_of_a_folder / "manifest.json").write_text(json.dumps(manifest))
    shutil.rmtree(tmp_path / "pictures")
    assert main(["view", str(run_of_a_folder), *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["view", str(run_of_a_folder), "--reject-pictures", "101"]) == 2
    assert not (tmp_path / "page").exists()


def test_a_folder_of_other_things_is_left_alone(finished_run: Path, tmp_path: Path):
    for name in ("notes.txt", "index.html"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(OutputError, match="holds something else"):
            view_run(finished_run, folder)
        assert (folder / name).read_text() == "mine"


def test_entries_come_in_files_of_a_few(tmp_path: Path):
    asked: list[int] = []

    def entries() -> Iterator[Entry]:
        for number in range(2 * CHUNK + 1):
            asked.append(number)
            if number == 2 * CHUNK:  # the files before were written when the last entry was asked for: memory is flat
                assert len(list((tmp_path / "page" / "entries").iterdir())) == 2
            yield Entry(str(number), (float(number),), (None,))

    gallery = Gallery("t", (Column("n", ""),), (Panel("one", (0,)),), "entries", "key")
    assert write_gallery(tmp_path / "page", gallery, entries()) == 2 * CHUNK + 1
    assert len(read_page(tmp_path / "page").data["files"]) == 3
    assert len(read_entries(tmp_path / "page")) == 2 * CHUNK + 1


def test_overlay_of_a_small_mask():
    mask = np.zeros((5, 6), np.uint8)
    mask[1:4, 1:4] = 1
    mask[0, 5] = 255
    data, suffix = overlay(mask, 64)
    assert suffix == ".png"
    shown = pixels(f",{b64encode(data).decode()}")
    assert shown[2, 2, 3] == FILL
    assert shown[1, 1].tolist() == [230, 30, 40, EDGE]
    assert shown[0, 5].tolist() == [240, 190, 0, EDGE]
    assert (shown[..., 3] > 0).sum() == 10


def test_thumbnails_shrink_and_never_grow():
    assert thumbnail(np.zeros((30, 60, 3), np.uint8), 20)[0][:4] == b"RIFF"
    for side, size in ((20, (10, 20)), (100, (30, 60))):
        data, _ = thumbnail(np.zeros((30, 60, 3), np.uint8), side)
        assert pixels(f",{b64encode(data).decode()}").shape[:2] == size


def test_histogram_by_hand():
    figure = Page(histogram([0.0, 0.0, 1.0], "area", 100.0, "%"))
    bars = [attrs for tag, attrs in figure.tags if tag == "rect"]
    assert [(bar["x"], bar["height"]) for bar in bars] == [("0.0", "70.0"), ("253.0", "35.0")]
    assert "area: 0 to 100%, median 0%, 3 in all" in figure.text
    assert histogram([], "area") == ""


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_in_a_browser(hostile_run: Path, tmp_path: Path):
    view_run(hostile_run, tmp_path / "page")
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    done = subprocess.run(
        [*command, (tmp_path / "page" / "index.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr
    page = Page(done.stdout)
    cards = [attrs for tag, attrs in page.tags if attrs.get("class") == "card"]
    pictures = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(cards) == 3
    assert [str(attrs["src"])[:16] for attrs in pictures] == ["data:image/webp;"] * 3
    assert page.words.count(HOSTILE) >= 7
