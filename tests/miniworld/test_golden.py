"""Pinned bytes: equal seeds give equal pictures, faults and verdicts, as when the sets in this repository were made.

Hashes are of whole arrays, so the scenes are ones without sines in them (plain and speckled textures, faults that do
not melt): they are the same to the last bit with and without the wider instructions of newer processors.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from miniworld.oracle.explain import explain
from miniworld.sets import FOLDER, SHIPPED, VERSION, drawable
from miniworld.world.faults import draw_fault
from miniworld.world.render import part_labels, render, thing_labels
from miniworld.world.scenes import caption, sample_scene, scene_from_dict
from shards.reader import ShardReader

GOLDEN: dict[tuple[int, str], tuple[str, str, str, str]] = {
    (500_400_002, "wrong_letter"): ("3efc10e0e1dbded9", "ffc2d3e6b7556250", "71527ef80262dcd2", "819f68c30e330b89"),
    (500_400_003, "missing_wheel"): ("d294427b92b192f9", "3fa78b4579907688", "10f75f8408a930cb", "89815603d6d5a35f"),
    (500_400_008, "extra_finger"): ("a5fc22528bb59c6d", "ea85cf75487479bb", "38a34e407aec0ff8", "121c0d303e779deb"),
    (500_400_025, "mirrored_letter"): ("c08dc9c647461d9e", "a96fe60ad07ea0d6", "68fcd99c74be4cb4", "f492d9d1d3f8f509"),
    (500_400_027, "missing_eye"): ("21566d212a182feb", "bcbe8a52f8d24b82", "f910edb93a4e5576", "74c03c7224a69432"),
    (500_400_048, "fused_fingers"): ("9ff1018621524a6d", "47f06266a675bc1f", "5bcd18b075c89a3c", "ca967abb262e81f3"),
}
"""(seed, kind of fault) -> labels of things and parts, faulty and valid picture, fault, verdict of the oracle."""


def digest(*values: Any) -> str:
    """The first 16 hex digits of the sha256 of arrays and plain values."""
    found = hashlib.sha256()
    for value in values:
        found.update(value.tobytes() if isinstance(value, np.ndarray) else json.dumps(value, sort_keys=True).encode())
    return found.hexdigest()[:16]


def digests(seed: int, kind: str) -> tuple[str, str, str, str]:
    """What GOLDEN holds of a scene."""
    scene = sample_scene(seed)
    drawn = draw_fault(scene, kind, np.random.default_rng(seed))
    assert drawn is not None
    said = explain(drawn.image, scene)
    looks = [[t.kind, t.skin, t.hair, t.style, t.mouth, t.paint, t.word] for t in said.scene.things]
    return (
        digest(thing_labels(scene), part_labels(scene)),
        digest(drawn.image, drawn.valid, render(scene)),
        digest(drawn.mask, drawn.scene.to_dict(), drawn.details),
        digest(said.mask, looks, list(said.found)),
    )


@pytest.mark.parametrize(("seed", "kind"), GOLDEN)
def test_pictures_faults_and_verdicts_are_the_same_bytes(seed: int, kind: str) -> None:
    assert digests(seed, kind) == GOLDEN[seed, kind]


@pytest.mark.parametrize("name", [*SHIPPED, "wild-balanced"])
def test_labelled_sets_are_read_as_before(name: str) -> None:
    reader = ShardReader(FOLDER / VERSION / name, cache=False)
    meta = reader.meta(3)
    assert reader.image(3).shape == (64, 64, 3)
    scene = scene_from_dict({**meta.scene})
    assert caption(scene) == meta.source.caption
    assert meta.source.uri == f"miniworld:{scene.seed}"


def test_drawn_faults_of_the_test_set_are_drawn_again() -> None:
    reader = ShardReader(FOLDER / VERSION / "faults-test", cache=False)
    for index in range(8):
        drawn, meta = drawable("faults-test", reader.meta(index).source.index), reader.meta(index)
        np.testing.assert_array_equal(reader.mask(index), drawn.mask)
        assert [fault["kind"] for fault in meta.extra["faults"]] == [fault.kind for fault in drawn.faults]


def test_a_sample_of_the_embedded_generator_is_the_same_picture() -> None:
    """To a rounding: sums of a network differ between processors."""
    pytest.importorskip("diffusers")
    from miniworld.generator.sample import load_pipeline, sample_images

    scene = sample_scene(350_000_000)
    image = sample_images(load_pipeline(), [caption(scene)], [scene.seed], steps=4)[0]
    means = [image[y : y + 32, x : x + 32].mean() for y in (0, 32) for x in (0, 32)]
    assert means == pytest.approx((146.008, 148.148, 107.476, 118.274), abs=0.3)
