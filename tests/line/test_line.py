"""The line on a tiny model: what comes out, and that it does not depend on how it was worked."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from line_tools import NUM_PICTURES, make_pictures, tree
from PIL import Image

from corruptor.backbone import Backbone
from corruptor.line.batch import Loaded
from corruptor.line.command import make_shards
from corruptor.line.config import LineConfig
from corruptor.line.feed import load_picture
from corruptor.line.run import open_line, run_shards
from shards import files
from shards.check import check_run
from shards.errors import ConfigError, OutputError, ResumeError
from shards.files import process_name
from shards.masks import unpack_cells
from shards.reader import ShardReader
from shards.schema import Sample
from shards.source import Reject, SourceItem

ConfigOf = Callable[..., LineConfig]


def samples_of(out: Path) -> dict[str, Sample]:
    return {sample.key: sample for sample in ShardReader(out, cache=False)}


def rejects_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def test_every_picture_becomes_a_sample(config_of: ConfigOf, tmp_path: Path):
    words = make_shards(config_of(), tmp_path / "run")
    assert check_run(tmp_path / "run").problems == []
    samples = samples_of(tmp_path / "run")
    assert len(samples) == NUM_PICTURES + 1
    assert "12 samples" in words
    assert str(tmp_path / "run" / "sheet.png") in words
    clean = [sample for sample in samples.values() if sample.meta.label == "clean"]
    assert 0 < len(clean) < len(samples)
    for sample in samples.values():
        injected = unpack_cells(sample.meta.cells)
        assert (sample.meta.label == "clean") == (not sample.mask.any()) == (injected.size == 0)
        assert sample.source is not None
        assert sample.meta.corruption.nfe == 2 + 1 + 1 + 3
        assert sample.meta.corruption.passes == "2,1,1"
        # The cells that were injected lie under the mask.
        if injected.size:
            blocks = sample.mask.reshape(8, 4, 8, 4).max(axis=(1, 3))
            assert not (injected & (blocks == 0)).any()
    assert samples["00000_00001"].meta.corruption.prompt == "red car at top"
    sources = [sample.meta.source for sample in samples.values()]
    assert [source.occurrence for source in sources if source.sha256 == sources[0].sha256] == [0, 1]


def test_the_same_run_gives_the_same_bytes(config_of: ConfigOf, tmp_path: Path):
    for name in ("one", "two"):
        make_shards(config_of(), tmp_path / name)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_masks_and_noise_do_not_depend_on_batches_and_pixels_only_by_rounding(config_of: ConfigOf, tmp_path: Path):
    compute = {"device": "cpu", "num_threads": 1}
    make_shards(config_of(compute={**compute, "batch_size": 1}), tmp_path / "single")
    samples = {"sources_per_shard": 64, "clean_share": 0.3}
    make_shards(config_of(compute={**compute, "batch_size": 8}, samples=samples), tmp_path / "batched")
    single = {s.meta.source.index: s for s in samples_of(tmp_path / "single").values()}
    batched = {s.meta.source.index: s for s in samples_of(tmp_path / "batched").values()}
    assert single.keys() == batched.keys()
    for index, one in single.items():
        two = batched[index]
        assert np.array_equal(one.mask, two.mask)
        assert (one.meta.seed, one.meta.cells, one.meta.label) == (two.meta.seed, two.meta.cells, two.meta.label)
        assert np.abs(one.image.astype(int) - two.image).max() <= 1


def test_masks_and_noise_do_not_depend_on_the_order_of_the_source(config_of: ConfigOf, tmp_path: Path, pictures: Path):
    make_shards(config_of(), tmp_path / "one")
    for number, path in enumerate(sorted(pictures.glob("*.png"), reverse=True)):
        (tmp_path / "turned").mkdir(exist_ok=True)
        (tmp_path / "turned" / f"{number}.png").write_bytes(path.read_bytes())
    source = {"name": "folder", "options": {"root": str(tmp_path / "turned")}}
    make_shards(config_of(source=source), tmp_path / "two")

    def facts(out: Path) -> dict[Any, Any]:
        found = samples_of(out).values()
        return {(s.meta.source.sha256, s.meta.source.occurrence): (s.meta.seed, s.mask.tobytes()) for s in found}

    assert facts(tmp_path / "one") == facts(tmp_path / "two")


def test_variants_share_an_inversion(config_of: ConfigOf, tmp_path: Path):
    config = config_of(samples={"num_variants": 3, "clean_share": 0.1, "sources_per_shard": 5})
    line = open_line(config, tmp_path / "run")
    run_shards(line, line.writer.todo())
    line.writer.finalise()
    samples = samples_of(tmp_path / "run")
    assert len(samples) == 3 * (NUM_PICTURES + 1)
    # 4 passes to invert a source, 3 to resample each of its rows.
    assert line.backbone.nfe.samples == 4 * 12 + 3 * 36
    for index in range(12):
        mine = [s for s in samples.values() if s.meta.source.index == index]
        assert len({s.meta.seed for s in mine}) == len({s.mask.tobytes() for s in mine}) == 3
        assert len({s.source.tobytes() for s in mine if s.source is not None}) == 1
        assert sum(s.meta.label == "clean" for s in mine) <= 1


def test_pictures_of_many_sizes_keep_their_rows(config_of: ConfigOf, tmp_path: Path):
    root = make_pictures(tmp_path / "mixed", count=9)
    for number in (1, 4, 6):
        Image.new("RGB", (96, 40), (number, 99, 0)).save(root / f"picture {number:02d}.é.png")
    source = {"name": "folder", "options": {"root": str(root)}}
    make_shards(config_of(source=source, size={"policy": "bucket", "size": 32, "multiple": 8}), tmp_path / "run")
    assert check_run(tmp_path / "run").problems == []
    samples = samples_of(tmp_path / "run")
    assert len({s.image.shape for s in samples.values()}) > 1
    assert [s.meta.source.index for s in samples.values()] == list(range(10))


def test_padding_is_ignored_never_damaged(config_of: ConfigOf, tmp_path: Path):
    root = tmp_path / "wide"
    root.mkdir()
    for number in range(6):
        Image.new("RGB", (64, 32), (40 * number, 99, 0)).save(root / f"{number}.png")
    source = {"name": "folder", "options": {"root": str(root)}}
    make_shards(config_of(source=source, size={"policy": "pad", "size": 32}), tmp_path / "run")
    for sample in samples_of(tmp_path / "run").values():
        assert (sample.mask[:8] == 255).all()
        assert (sample.mask[24:] == 255).all()
        assert (sample.mask[8:24] != 255).all()


def test_masks_from_files(config_of: ConfigOf, tmp_path: Path):
    root, masks = make_pictures(tmp_path / "pictures", count=4), tmp_path / "masks"
    masks.mkdir()
    for number in range(4):
        size = (32, 32 + number) if number != 2 else (16, 16)
        mask = Image.new("L", size, 0)
        if number != 1:
            mask.paste(255, (4, 4, 16, 12))
        mask.save(masks / f"picture {number:02d}.é.png")
    source = {"name": "folder", "options": {"root": str(root), "masks": str(masks)}}
    samples = {"clean_share": 0.0}
    make_shards(config_of(source=source, region={"policy": "files"}, samples=samples), tmp_path / "run")
    made = samples_of(tmp_path / "run")
    assert list(made) == ["00000_00000", "00000_00003"]
    assert np.array_equal(np.argwhere(made["00000_00000"].mask).min(axis=0), [4, 4])
    assert made["00000_00000"].mask.sum() == 12 * 8
    reasons = {(r["uri"], r["reason"]) for r in rejects_of(tmp_path / "run")}
    assert reasons == {
        ("picture 01.é.png", "no_region"),
        ("picture 02.é.png", "mask_size"),
        ("zz copy.png", "mask_missing"),
    }


def test_unchanged_regions_are_rejected_with_their_numbers(config_of: ConfigOf, tmp_path: Path):
    corruption = {"injection": {"start_step": 47}, "verification": {"threshold": 255.0}}
    words = make_shards(config_of(corruption=corruption), tmp_path / "run")
    samples = samples_of(tmp_path / "run")
    assert all(sample.meta.label == "clean" for sample in samples.values())
    rejects = rejects_of(tmp_path / "run")
    assert len(samples) + len(rejects) == 12
    assert {r["reason"] for r in rejects} == {"below_threshold"}
    assert f"below_threshold {len(rejects)}" in words
    assert check_run(tmp_path / "run").problems == []


def test_a_run_of_rejects_alone_ends_well(config_of: ConfigOf, tmp_path: Path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_bytes(b"no picture")
    source = {"name": "folder", "options": {"root": str(tmp_path / "bad")}}
    words = make_shards(config_of(source=source), tmp_path / "run")
    assert "not_image 1" in words
    assert check_run(tmp_path / "run").ok


def poison(backbone: Backbone, monkeypatch: pytest.MonkeyPatch, bad: np.ndarray[Any, Any]) -> None:
    """Let the model give NaN for this picture, as half precision may."""
    encode = backbone.encode

    def poisoned(images_BHWC: torch.Tensor) -> torch.Tensor:
        latents = encode(images_BHWC)
        latents[(images_BHWC == torch.from_numpy(bad)).flatten(1).all(dim=1)] = float("nan")
        return latents

    monkeypatch.setattr(backbone, "encode", poisoned)


def test_a_picture_that_fails_costs_only_itself(config_of: ConfigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = config_of(compute={"device": "cpu", "num_threads": 1, "batch_size": 8})
    make_shards(config, tmp_path / "well")
    line = open_line(config, tmp_path / "ill")
    bad = load_picture(line.source, 3, config.size, 1)
    assert isinstance(bad, Loaded)
    poison(line.backbone, monkeypatch, bad.item.image)
    run_shards(line, line.writer.todo())
    line.writer.finalise()
    well, ill = samples_of(tmp_path / "well"), samples_of(tmp_path / "ill")
    assert well.keys() - ill.keys() == {"00000_00003"}
    assert [(r["index"], r["reason"]) for r in rejects_of(tmp_path / "ill")] == [(3, "not_finite")]
    for key, sample in ill.items():
        assert np.array_equal(sample.mask, well[key].mask)
        assert np.abs(sample.image.astype(int) - well[key].image).max() <= 1


def test_running_again_makes_only_what_is_missing(config_of: ConfigOf, tmp_path: Path):
    out = tmp_path / "run"
    make_shards(config_of(), out)
    whole = tree(out)
    assert "nothing left to do" in make_shards(config_of(), out)
    (out / "shards" / "00001.stats.json").unlink()
    (out / "shards" / "00001.tar").write_bytes(b"half a shard")
    (out / "shards" / f"00002.tar.{process_name()}.partial").write_bytes(b"leftover")
    (out / "shards" / "00002.tar.partial").write_bytes(b"the user's own")
    words = make_shards(config_of(workers={"num_readers": 1}), out)
    assert "5 images in" in words
    assert (out / "shards" / "00002.tar.partial").read_bytes() == b"the user's own"
    (out / "shards" / "00002.tar.partial").unlink()
    assert tree(out) == whole


def test_another_run_in_the_same_folder_is_refused(config_of: ConfigOf, tmp_path: Path, tiny_model: Path):
    out = tmp_path / "run"
    root = make_pictures(tmp_path / "pictures", count=3)
    source = {"name": "folder", "options": {"root": str(root)}}
    make_shards(config_of(source=source), out)
    before = tree(out)
    with pytest.raises(ResumeError, match=r"config\.seed: 0 there, 1 now"):
        make_shards(config_of(source=source, seed=1), out)
    Image.new("RGB", (32, 32)).save(root / "another.png")
    with pytest.raises(ResumeError, match=r"source\.items: 4 there, 5 now"):
        make_shards(config_of(source=source), out)
    assert tree(out) == before


def test_reading_keeps_within_its_bound(config_of: ConfigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Memory does not grow with the number of pictures: reading waits for writing."""
    root = make_pictures(tmp_path / "many", count=60)
    source = {"name": "folder", "options": {"root": str(root), "limit": 60}}
    config = config_of(source=source, samples={"sources_per_shard": 60}, workers={"num_batches_ahead": 1})
    line = open_line(config, tmp_path / "run")
    counts, lock = {"read": 0, "settled": 0, "ahead": 0}, threading.Lock()
    load = type(line.source).__getitem__

    def counted(self: Any, index: int) -> SourceItem | Reject:
        with lock:
            counts["read"] += 1
            counts["ahead"] = max(counts["ahead"], counts["read"] - counts["settled"])
        return load(self, index)

    monkeypatch.setattr(type(line.source), "__getitem__", counted)
    run_shards(line, line.writer.todo(), lambda rows, _: counts.update(settled=counts["settled"] + rows))
    # Reading ahead 3 + 2 * 2, a batch being made up, one waiting, one in the model, one waiting, one being written.
    assert counts["read"] == 60
    assert counts["ahead"] <= 7 + 1 + 5 * 3


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    config_of: ConfigOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    line = open_line(config_of(), out)
    write, written = files.HashingFile.write, [0]

    def limited(self: files.HashingFile, data: bytes) -> int:
        written[0] += len(data)
        if written[0] > 100_000:
            raise files.explain(OSError(errno.ENOSPC, "No space left on device"), self.path)
        return write(self, data)

    with monkeypatch.context() as patched:
        patched.setattr(files.HashingFile, "write", limited)
        with pytest.raises(OutputError, match="no space left"):
            run_shards(line, line.writer.todo())
    assert [path.name for path in sorted((out / "shards").iterdir())] == ["00000.stats.json", "00000.tar"]
    make_shards(config_of(), out)
    make_shards(config_of(), tmp_path / "reference")
    assert tree(out) == tree(tmp_path / "reference")


def test_an_error_in_the_policy_stops_everything(config_of: ConfigOf, tmp_path: Path):
    with pytest.raises(ConfigError, match="needs masks"):
        make_shards(config_of(region={"policy": "files"}), tmp_path / "run")
    assert not list((tmp_path / "run" / "shards").iterdir())


def test_a_model_that_takes_other_sizes_is_named_before_anything_is_made(config_of: ConfigOf, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"size\.size is 36; this model takes multiples of 8"):
        make_shards(config_of(size={"policy": "crop", "size": 36}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    make_shards(config_of(size={"policy": "none"}), tmp_path / "odd")
    assert {r["reason"] for r in rejects_of(tmp_path / "odd")} == {"failed"}
    assert "multiples of 8" in rejects_of(tmp_path / "odd")[0]["detail"]
