"""The learned policy: bits that do not depend on the batch, other sizes, fallbacks, and the line's options."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from red_squares import SIDE, picture

from region_select.policy import open_policy
from region_select.selector import SELECTOR, Selector
from shards.config import find_config, read_config
from shards.errors import ConfigError, MissingInputError
from shards.source import SourceItem


def item_of(seed: int, side: int = SIDE) -> SourceItem:
    image = picture(seed, seed % 2 == 1, side).image
    return SourceItem(image, f"square:{seed}", hashlib.sha256(image.tobytes()).hexdigest())


def rngs_of(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(count)]


def pixels(found) -> list[bytes | None]:
    return [None if one.mask is None else one.mask.tobytes() for one in found]


@pytest.fixture(scope="module")
def items() -> list[SourceItem]:
    return [item_of(300 + n) for n in range(7)]


def test_a_mask_is_a_function_of_its_picture_to_the_bit(trained, items):
    """Tau is the value of some pixel of each picture in turn: a change in the last bit would flip that pixel."""
    selector = Selector.load(trained)
    for item in items[:3]:
        tau = float(np.sort(selector.heat([item.image])[0], axis=None)[-40])
        policy = open_policy("learned", {"weights": str(trained), "tau": tau})
        alone = [policy.select([one], rngs_of(1))[0] for one in items]
        for size in (2, 3, 7):
            parts = [items[first : first + size] for first in range(0, 7, size)]
            together = [one for part in parts for one in policy.select(part, rngs_of(len(part)))]
            assert pixels(together) == pixels(alone)
            assert [one.facts for one in together] == [one.facts for one in alone]
        backwards = policy.select(items[::-1], rngs_of(7))[::-1]
        assert pixels(backwards) == pixels(alone)


def test_threads_see_the_same(trained, items):
    """The line asks from a thread of its own."""
    policy = open_policy("learned", {"weights": str(trained), "tau": 0.3})
    here = policy.select(items, rngs_of(7))
    with ThreadPoolExecutor(2) as pool:
        there = list(pool.map(lambda item: policy.select([item], rngs_of(1))[0], items))
    assert pixels(here) == pixels(there)


@pytest.mark.slow
def test_another_process_sees_the_same(trained, items):
    policy = open_policy("learned", {"weights": str(trained), "tau": 0.3})
    here = [hashlib.sha256(one or b"").hexdigest() for one in pixels(policy.select(items, rngs_of(7)))]
    code = (
        "import sys, hashlib; sys.path[:0] = ['tests', 'tests/region_select']\n"
        "import torch; torch.set_num_threads(int(sys.argv[2]))\n"
        "from test_learned import *\n"
        "policy = open_policy('learned', {'weights': sys.argv[1], 'tau': 0.3})\n"
        "found = [policy.select([item_of(300 + n)], rngs_of(1))[0] for n in range(7)]\n"
        "print(*[hashlib.sha256(one or b'').hexdigest() for one in pixels(found)])"
    )
    import torch

    words = [sys.executable, "-c", code, str(trained), str(torch.get_num_threads())]
    done = subprocess.run(words, cwd=find_config("pyproject.toml").resolve().parent, capture_output=True, text=True)
    assert done.stdout.split() == here, done.stderr


def test_chunks_are_filled_up_and_nearly_the_same(trained, items):
    images = [item.image for item in items]
    one, four = Selector.load(trained), Selector.load(trained, chunk=4)
    assert np.abs(one.heat(images) - four.heat(images)).max() < 1e-5


def test_variants_of_a_picture_share_its_region_and_are_looked_at_once(trained, items, monkeypatch):
    policy = open_policy("learned", {"weights": str(trained)})
    looked = []
    heats = policy.selector.heats
    monkeypatch.setattr(policy.selector, "heats", lambda images: looked.append(len(images)) or heats(images))
    found = policy.select([items[1], items[1], items[2], items[1]], rngs_of(4))
    assert looked == [2]
    assert pixels(found)[0] == pixels(found)[1] == pixels(found)[3]


def test_pictures_of_another_size_get_masks_of_their_own(trained):
    policy = open_policy("learned", {"weights": str(trained), "fallback": "hottest"})
    tall = np.zeros((90, 50, 3), np.uint8) + 120
    tall[60:80, 10:25] = [220, 30, 30]
    found = policy.select([SourceItem(tall, "tall", "0"), item_of(301, 64)], rngs_of(2))
    assert [one.mask.shape for one in found] == [(90, 50), (64, 64)]


def test_no_region_is_recorded_and_the_fallback_is_told(trained, items):
    strict = open_policy("learned", {"weights": str(trained), "tau": 0.9999})
    nothing = strict.select(items, rngs_of(7))
    assert all(one.mask is None for one in nothing)
    assert "nothing reaches tau 0.9999" in nothing[0].detail
    area = 0.05
    options = {"weights": str(trained), "tau": 0.9999, "fallback": "hottest", "fallback_area": area}
    always = open_policy("learned", options).select(items, rngs_of(7))
    assert all(one.mask.sum() == round(area * SIDE * SIDE) and one.facts["fallback"] for one in always)


def test_it_is_part_of_a_mix_and_names_its_weights(trained, items):
    alone = open_policy("learned", {"weights": str(trained), "tau": 0.3})
    parts = [
        {"policy": "learned", "weight": 1.0, "options": {"weights": str(trained), "tau": 0.3}},
        {"policy": "blobs", "weight": 0.0},
    ]
    mix = open_policy("mix", {"parts": parts})
    for one, other in zip(alone.select(items, rngs_of(7)), mix.select(items, rngs_of(7)), strict=True):
        assert other.facts["policy"] == ("blobs" if one.mask is None else "learned")
    assert mix.digest() == alone.digest() == Selector.load(trained).digest
    assert open_policy("blobs").digest() == ""


def test_the_named_tau_is_resolved(trained):
    policy = open_policy("learned", {"weights": str(trained / SELECTOR), "tau": "match_area"})
    assert policy.tau == policy.selector.tuning.taus["match_area"]
    assert policy.select([item_of(301)], rngs_of(1))[0].facts["tau"] == policy.tau


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.5}, "tau must lie between 0 and 1"),
        ({"tau": "match"}, "tau"),
        ({"chunk": 0}, "chunk 1..1024"),
        ({"fallback": "hot"}, "did you mean 'hottest'"),
        ({"weight": "x"}, "did you mean 'weights'"),
    ],
)
def test_mistakes_in_options(options, message):
    with pytest.raises(ConfigError, match=message):
        open_policy("learned", options)


def test_missing_and_foreign_weights(trained, tmp_path):
    with pytest.raises(MissingInputError, match="blemish regions train"):
        open_policy("learned", {"weights": str(tmp_path / "none.safetensors")})
    shutil.copy(trained / "weights.safetensors", tmp_path / "plain.safetensors")
    with pytest.raises(ConfigError, match="train with --val"):
        open_policy("learned", {"weights": str(tmp_path / "plain.safetensors"), "tau": "match_area"})


def test_the_embedded_default_is_learned_and_parts_differ_in_their_regions_alone():
    default, parts = (read_config(f"configs/shards/{name}.py") for name in ("miniworld", "miniworld_parts"))
    assert {key for key in default if parts[key] != default[key]} == {"region"}
    assert default["region"]["policy"] == "learned"
