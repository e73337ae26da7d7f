"""A set in which half of each content is broken: the pairs by hand, the set from one that is here."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from miniworld.__main__ import main
from miniworld.balance import draw, pair_up, things_broken
from miniworld.sets import FOLDER, VERSION, finished, scenes_of
from miniworld.world.render import silhouette
from miniworld.world.scenes import content_of
from miniworld.world.splits import SPLITS
from shards.check import check_run
from shards.errors import ConfigError, MissingInputError, ResumeError
from shards.reader import ShardReader

POOL = FOLDER / VERSION / "select"


def test_pairs_by_hand():
    content = ["hand", "hand", "face", "hand", "face", "sign", "hand", "hand"]
    broken = [True, True, False, False, True, True, True, False]
    # Pairs: hands 0 and 3, 1 and 7; faces 4 and 2. The sign and the hand at 6 have no partner.
    assert pair_up(content, broken, 100) == [0, 1, 2, 3, 4, 7]
    assert pair_up(content, broken, 4) == [0, 2, 3, 4]  # complete at 3 and at 4, the other at 7
    assert pair_up(content, broken, 5) == [0, 2, 3, 4]
    assert pair_up(content + ["face"] * 2, [*broken, True, False], 6) == [0, 1, 2, 3, 4, 7]  # more change nothing
    assert pair_up([], [], 10) == []


def test_a_balanced_set_of_the_one_for_selection(tmp_path: Path):
    pool = ShardReader(POOL)
    totals = draw(POOL, tmp_path / "wild-even", 40)
    assert (totals["artifact"], totals["clean"]) == (20, 20)
    assert check_run(tmp_path / "wild-even").ok
    made = ShardReader(tmp_path / "wild-even")
    metas = [made.meta(i) for i in range(len(made))]
    counts = Counter((content_of(meta.source.caption), meta.label) for meta in metas)
    assert all(counts[content, "artifact"] == counts[content, "clean"] for content, _ in counts)
    told = [(meta.label, things_broken(meta, made.mask(i))) for i, meta in enumerate(metas)]
    assert all(set(things) == {label == "artifact"} for label, things in told)
    assert {meta.source.set for meta in metas} == {"miniworld-wild-even"}
    for i in (0, 17, 39):
        np.testing.assert_array_equal(made.image(i), pool.image(metas[i].source.index))
        np.testing.assert_array_equal(made.mask(i), pool.mask(metas[i].source.index))
        assert metas[i].extra == pool.meta(metas[i].source.index).extra
    before = [(path, path.read_bytes()) for path in sorted((tmp_path / "wild-even").rglob("*.tar"))]
    assert draw(POOL, tmp_path / "wild-even", 40) == totals  # finished: left as it is
    draw(POOL, tmp_path / "again" / "wild-even", 40)
    assert [(tmp_path / "again" / path.relative_to(tmp_path)).read_bytes() for path, _ in before] == [
        b for _, b in before
    ]


def test_the_frozen_set_tells_nothing_by_what_it_shows():
    made = ShardReader(FOLDER / VERSION / "wild-balanced")
    metas = [made.meta(i) for i in range(len(made))]
    counts = Counter((content_of(meta.source.caption), meta.label) for meta in metas)
    assert sum(counts.values()) == 1000
    assert all(counts[content, "artifact"] == counts[content, "clean"] for content, _ in counts)
    assert all("sign" not in content for content, _ in counts)
    pool = SPLITS["wild-pool"]
    seeds = {meta.scene["seed"] for meta in metas}
    assert len(seeds) == 1000
    assert seeds <= set(range(pool.start, pool.start + pool.count))


def test_a_thing_is_broken_where_a_fault_touches_it_or_nearly():
    scene = next(scene for scene in scenes_of("wild-pool") if len(scene.things) == 2)
    meta = dataclasses.replace(ShardReader(POOL).meta(0), extra={"nearest": scene.to_dict()})
    outline = silhouette(scene.things[1])
    row, column = np.argwhere(outline)[0]  # its topmost
    for above, expected in ((0, True), (2, True), (3, False)):
        mask = np.zeros(outline.shape, np.uint8)
        mask[max(row - above, 0), column] = 1
        assert things_broken(meta, mask) == [False, expected]
    with pytest.raises(ConfigError, match="was not labelled by the oracle"):
        things_broken(dataclasses.replace(meta, extra={}), mask)


def test_what_cannot_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ConfigError, match=r"holds 4\d pictures in pairs of equal content"):
        draw(POOL, tmp_path / "more", 100)
    for count in (0, 7, -2):
        with pytest.raises(ConfigError, match=f"--count is {count}: give an even number"):
            draw(POOL, tmp_path / "odd", count)
    with pytest.raises(MissingInputError, match="is no finished set: make it with"):
        draw(tmp_path / "nothing", tmp_path / "out", 10)
    assert not list(tmp_path.iterdir())
    assert main(["balance", "--pool", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    draw(POOL, tmp_path / "half", 10)
    (tmp_path / "half" / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(ResumeError):
        draw(POOL, tmp_path / "half", 12)


def test_the_pool_has_no_signs_and_the_other_sets_their_seeds_in_order():
    pool = list(islice(scenes_of("wild-pool"), 40))
    assert all(thing.kind != "sign" for scene in pool for thing in scene.things)
    assert [scene.seed for scene in pool] == sorted({scene.seed for scene in pool})
    assert pool[0].seed >= 370_000_000
    assert [scene.seed for scene in islice(scenes_of("validation"), 3)] == [310_000_000 + i for i in range(3)]
    assert finished(POOL) is not None
