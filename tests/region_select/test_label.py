"""Masks as files, pseudo-labels as shards, draws, and the report, from a real selector and real shards."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from red_squares import picture

from region_select.__main__ import main
from region_select.draw import draw
from region_select.label import mask_names, open_pictures, pseudo_label, write_masks
from region_select.policy import open_policy
from region_select.report import report
from shards.check import check_run
from shards.errors import ConfigError, ResumeError
from shards.files import hash_file
from shards.reader import ShardReader
from shards.source import open_source


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures, two of them broken, in two folders; one file that is no picture; two that share a stem."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "b.c.png", "more/a.webp", "more/a.png")):
        Image.fromarray(picture(400 + seed, seed % 2 == 1).image).save(folder / name, lossless=True)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def selected(run: Path, weights: Path, tau: float) -> dict[str, np.ndarray]:
    """What the policy says of a run's pictures, key by key."""
    policy, reader = open_policy("learned", {"weights": str(weights), "tau": tau}), ShardReader(run)
    heats = policy.selector.heats([reader.image(i) for i in range(len(reader))])
    return {reader.key(i): (heat >= np.float32(tau)).astype(np.uint8) for i, heat in enumerate(heats)}


def test_mask_files_serve_the_policy_files(trained, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["masks", str(trained), str(pictures), "--out", str(out), "--tau", "0.3"]) == 0
    assert "4 masks" in capsys.readouterr().out
    rows = list(csv.DictReader((out / "regions.csv").open(newline="")))
    # The two that share a stem keep their whole names, and the source finds no mask rather than a wrong one.
    assert [row["file"] for row in rows] == ["a.png", "b.c.png", "more/a.png.png", "more/a.webp.png"]
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert [(one["uri"], one["reason"]) for one in rejects] == [("broken.png", "not_image")]
    source = open_source("folder", root=str(pictures), masks=str(out / "masks"))
    learned = open_policy("learned", {"weights": str(trained), "tau": 0.3})
    for index, row in enumerate(rows[:2]):
        found = learned.select([source[index]], [np.random.default_rng()])[0]
        expected = np.zeros((32, 32), np.uint8) if found.mask is None else found.mask
        assert np.array_equal(source[index].mask, expected)
        assert float(row["area"]) == pytest.approx(expected.mean(), abs=1e-6)
        assert row["outcome"] == ("no_region" if found.mask is None else "ok")
    assert source[3].reason == "mask_missing"


def test_masks_go_on_to_the_same_table_and_refuse_another_tau(trained, squares, tmp_path):
    out, policy = tmp_path / "out", open_policy("learned", {"weights": str(trained), "tau": 0.3})
    source, asked = open_pictures(str(squares)), {"options": {"tau": 0.3}}
    write_masks(source, policy, out, asked)
    table = (out / "regions.csv").read_bytes()
    names = sorted(path.name for path in (out / "masks").iterdir())
    assert names == sorted(f"{ShardReader(squares).key(i)}.png" for i in range(16))
    for name in names[::2]:
        (out / "masks" / name).unlink()
    write_masks(source, policy, out, asked)
    assert (out / "regions.csv").read_bytes() == table
    with pytest.raises(ResumeError, match="tau"):
        write_masks(source, policy, out, {"options": {"tau": 0.4}})


def test_names_never_meet_and_never_leave_the_folder():
    assert mask_names(["a.jpg", "b/a.jpg"]) == ["a.png", "b/a.png"]
    assert mask_names(["a.jpg", "a.png"]) == ["a.jpg.png", "a.png.png"]
    assert mask_names(["a.jpg", "a.png", "a.jpg.webp"]) == ["a.jpg.png", "a.png.png", "a.jpg.webp.png"]
    assert mask_names(["run/0.tar#00000_00001", "run/1.tar#00001_00001"]) == ["00000_00001.png", "00001_00001.png"]
    assert mask_names(["x/0.tar#k", "y/0.tar#k"]) == ["x/0.tar/k.png", "y/0.tar/k.png"]
    assert mask_names(["a#1.jpg"]) == ["a#1.png"]
    assert mask_names(["../../etc/a.jpg", "/b.jpg"]) == ["etc/a.png", "b.png"]


def test_pseudo_labels_are_shards_with_the_regions_as_labels(trained, squares, tmp_path):
    out, policy = tmp_path / "out", open_policy("learned", {"weights": str(trained), "tau": 0.3})
    asked = {"policy": "learned", "options": {"tau": 0.3}}
    pseudo_label(open_pictures(str(squares)), policy, out, asked)
    assert check_run(out).ok
    expected, reader, given = selected(squares, trained, 0.3), ShardReader(out), ShardReader(squares)
    assert len(reader) == 16
    for index, sample in enumerate(reader):
        assert np.array_equal(sample.image, given.image(index))
        assert np.array_equal(sample.mask, expected[given.key(index)])
        assert sample.meta.region.policy == "learned"
        assert sample.meta.region.options["chosen"]["tau"] == 0.3
    again = hash_file(out / "shards" / "00000.tar")
    pseudo_label(open_pictures(str(squares)), policy, tmp_path / "again", asked)
    assert hash_file(tmp_path / "again" / "shards" / "00000.tar") == again


def test_pseudo_labels_without_empty_ones_record_them(trained, squares, tmp_path, capsys):
    words = ["pseudo", str(trained), str(squares), "--out", str(tmp_path / "out"), "--tau", "0.9999", "--drop-empty"]
    assert main([*words, "--set", "limits.min_area=0.5"]) == 0
    assert "0 pictures" in capsys.readouterr().out
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert {one["reason"] for one in rejects} == {"no_region"}
    assert len(rejects) == 16


def test_masks_of_rendered_scenes(trained, tmp_path):
    words = ["masks", str(trained), "miniworld", "--source", "count=2", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == [
        "miniworld_0.png",
        "miniworld_1.png",
    ]


def test_a_draw_and_the_rest_are_all_there_is(squares, tmp_path):
    words = draw([str(squares)], 5, tmp_path / "five", seed=3, rest=tmp_path / "rest")
    assert words.startswith("5 of 16 labelled pictures")
    parts = [ShardReader(tmp_path / name) for name in ("five", "rest")]
    assert [len(part) for part in parts] == [5, 11]
    uris = [part.meta(i).source.uri for part in parts for i in range(len(part))]
    assert sorted(uris) == sorted(f"square:{n}" for n in range(16))
    given = ShardReader(squares)
    of_uri = {given.meta(i).source.uri: i for i in range(16)}
    for part in parts:
        assert check_run(part.paths[0].parent.parent).ok
        for i in range(len(part)):
            place = of_uri[part.meta(i).source.uri]
            assert part.member(i, "webp") == given.member(place, "webp")
            assert np.array_equal(part.mask(i), given.mask(place))
    draw([str(squares)], 5, tmp_path / "again", seed=3)
    draw([str(squares)], 5, tmp_path / "other", seed=4)
    drawn = {name: {m.source.uri for m in map(ShardReader(tmp_path / name).meta, range(5))}
             for name in ("five", "again", "other")}  # fmt: skip
    assert drawn["five"] == drawn["again"] != drawn["other"]
    with pytest.raises(ConfigError, match="has 16 samples"):
        draw([str(squares)], 17, tmp_path / "many")


def config_of(folder: Path, region: str) -> Path:
    path = folder / "config.py"
    path.write_text(f"source = dict(name='miniworld', options=dict(count=6))\nsize = dict(policy='none')\n{region}\n")
    return path


def test_the_report_of_a_learned_policy_agrees_with_its_masks(trained, squares, tmp_path):
    region = f"region = dict(policy='learned', options=dict(weights={str(trained)!r}, tau=0.3))"
    text = report(config_of(tmp_path, region), [str(squares)], tmp_path / "out", resamples=50)
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    reader, masks = ShardReader(squares), selected(squares, trained, 0.3)
    truth = np.stack([reader.mask(i) for i in range(16)]) == 1
    said = np.stack([masks[reader.key(i)] for i in range(16)]) == 1
    assert told["on_truth"]["coverage"]["value"] == pytest.approx((truth & said).sum() / truth.sum())
    assert told["on_truth"]["no_region"]["value"] == pytest.approx(np.mean(~said.any((1, 2))))
    assert (told["num_truth"], told["num_sources"]) == (16, 6)
    rows = {row["tau"]: row for row in told["learned"]["sweep"]}
    assert rows[0.3]["truth_area"] == pytest.approx(said.mean())
    assert rows[0.3]["sources_without"] == told["on_sources"]["no_region"]["value"]
    assert rows[0.01]["sources_area"] >= rows[0.5]["sources_area"]
    assert "Total variation from the true faults" in text
    assert (tmp_path / "out" / "report.md").read_text() == text
    with Image.open(tmp_path / "out" / "truth.png") as sheet:
        assert sheet.width > 100


def test_the_report_takes_any_policy_and_tells_kinds(squares, tmp_path):
    region = "region = dict(policy='scene', options=dict(level='objects', names=['face']))"
    report(config_of(tmp_path, region), [str(squares)], tmp_path / "out", resamples=0)
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "learned" not in told
    kinds = {row["kind"]: row for row in told["kinds"]}
    assert told["on_truth"]["no_region"]["value"] == 1.0  # grey squares name no regions
    assert sum(row["pixels"] for row in kinds.values()) == pytest.approx(1.0)
    if told["on_sources"]["no_region"]["value"] < 1:
        assert kinds["face"]["selected"] == 1.0


def test_kinds_of_a_wild_picture_come_from_its_nearest_scene(tmp_path):
    from miniworld.source import regions_of
    from miniworld.world.scenes import sample_scene
    from region_select.report import stored_regions
    from shards.schema import Meta, SourceMeta

    intended, nearest = sample_scene(7), sample_scene(8)
    source = SourceMeta("miniworld-validation", "miniworld:7", "0")
    meta = Meta("artifact", source, scene=intended.to_dict(), extra={"nearest": nearest.to_dict()})
    found = stored_regions(meta)
    assert [(one.name, one.mask.tobytes()) for one in found] == [
        (o.name, o.mask.tobytes()) for o in regions_of(nearest)
    ]
    assert stored_regions(Meta("artifact", SourceMeta("photos", "a", "0"), scene={"x": 1})) == ()
    with pytest.raises(ConfigError, match="make the set again"):
        stored_regions(Meta("artifact", source, scene={"world_version": -1}))
