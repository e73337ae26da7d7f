"""The oracle on rendered pictures: poses recovered, drawn faults found, valid scenes left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from miniworld.evaluate.counting import components, matches, share
from miniworld.evaluate.trials import blind
from miniworld.oracle.explain import explain
from miniworld.oracle.fit_background import fit_background
from miniworld.oracle.letters import wrong_letters
from miniworld.world.faults import draw_fault
from miniworld.world.render import render, render_float, silhouette
from miniworld.world.scenes import Ground, Scene, Thing, sample_scene

PLAIN = Ground("blue", "green", horizon=40.0, tilt=0.02, gain=0.95, light_x=0.1, light_y=-0.05)


def scene_of(*things: Thing) -> Scene:
    return Scene(seed=0, ground=PLAIN, things=things)


FACE = Thing("face", 20.0, 22.0, 14.0, rot=0.1, skin="tan", hair="red", style="long", mouth="smiling", gaze=0.2)
HAND = Thing("hand", 32.0, 34.0, 16.0, rot=-0.2, flip=True, skin="brown", paint="yellow", spread=1.1)
CAR = Thing("car", 45.0, 52.0, 14.0, paint="purple")
SIGN = Thing("sign", 32.0, 20.0, 6.0, rot=0.05, paint="green", word="CAFE")

LOOKS = {
    "face": ("skin", "hair", "style", "mouth"),
    "hand": ("skin", "paint", "flip"),
    "car": ("paint", "flip"),
    "sign": ("paint", "word"),
}


def test_background_is_found_behind_a_large_thing():
    picture = render_float(scene_of(replace(FACE, x=32, y=36, s=18)))
    found = fit_background(picture)
    assert (found.ground.sky, found.ground.ground) == ("blue", "green")
    assert found.ground.horizon == pytest.approx(40.0, abs=1.0)
    assert np.abs(found.picture[:8] - picture[:8]).mean() < 4


@pytest.mark.parametrize("thing", [FACE, HAND, CAR, SIGN], ids=lambda t: t.kind)
def test_pose_and_looks_are_recovered_without_a_hint(thing: Thing):
    said = explain(render(scene_of(thing)))
    assert len(said.scene.things) == 1
    got = said.scene.things[0]
    assert (got.x, got.y, got.s) == pytest.approx((thing.x, thing.y, thing.s), abs=0.4)
    assert got.rot == pytest.approx(thing.rot, abs=0.05)
    for name in LOOKS[thing.kind]:
        assert getattr(got, name) == getattr(thing, name)
    assert not said.mask.any()


def test_valid_scenes_have_no_fault_and_their_things_are_found():
    faulty = []
    for seed in range(200_070_000, 200_070_012):
        scene = sample_scene(seed)
        said = explain(render(scene), blind(scene, np.random.default_rng(seed)))
        if said.mask.any() or not all(said.found):
            faulty.append(seed)
    assert faulty == []


def test_a_scene_without_things_is_its_background():
    said = explain(render(scene_of()))
    assert said.scene.things == ()
    assert not said.mask.any()


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("missing_eye", FACE),
        ("extra_eye", FACE),
        ("fused_fingers", HAND),
        ("missing_wheel", CAR),
        ("extra_wheel", CAR),
        ("melted_letter", SIGN),
        ("wrong_letter", SIGN),
    ],
)
def test_a_drawn_fault_is_found_where_it_is(kind: str, thing: Thing):
    scene = scene_of(thing)
    drawn = draw_fault(scene, kind, np.random.default_rng(3))
    assert drawn is not None
    said = explain(drawn.image, scene)
    hit, ours, seen, theirs = matches(said.mask, drawn.mask)
    assert (seen, theirs) == (1, 1)
    assert hit == ours


def test_a_thing_where_no_scene_has_one_is_unexplained():
    picture = render(scene_of(CAR))
    picture[8:20, 8:20] = (255, 0, 255)
    said = explain(picture, scene_of(CAR))
    assert said.mask[10:18, 10:18].all()
    assert not said.mask[40:].any()


def test_misplaced_and_missing_things_are_reported_apart_from_faults():
    wanted = scene_of(replace(CAR, x=15.0, y=10.0), SIGN)
    said = explain(render(scene_of(CAR)), wanted)
    assert not said.mask.any()
    assert said.found == (True, False)
    problems = {(m["kind"], m["problem"]) for m in said.misaligned}
    assert problems == {("car", "differs"), ("sign", "missing")}


def test_a_shift_of_one_pixel_and_a_small_change_of_colour_are_no_fault():
    scene = scene_of(FACE, CAR)
    picture = np.roll(render(scene), 1, axis=1)
    picture = np.clip(picture + np.array([12, -8, 10]), 0, 255).astype(np.uint8)
    assert not explain(picture, scene).mask.any()


def test_letters_are_read_in_their_own_cells():
    picture = render_float(scene_of(SIGN))
    assert not wrong_letters(picture, SIGN, least=0.88, margin=0.02).any()
    other = wrong_letters(picture, replace(SIGN, word="CAGE"), least=0.88, margin=0.02)
    at = int(SIGN.x + 0.5 * 1.5 * SIGN.s)  # the third of four letters
    assert other[20, at] == 1
    assert components(other)[0].sum() == other.sum()
    assert other.sum() < silhouette(SIGN).sum() / 3


def test_pictures_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="64 x 64"):
        explain(np.zeros((32, 32, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        explain(np.zeros((64, 64, 3), dtype=np.float32))


def test_matching_components_by_hand():
    truth = np.zeros((8, 8), dtype=np.uint8)
    truth[0:2, 0:2] = 1
    truth[5:7, 5:7] = 1
    ours = np.zeros_like(truth)
    ours[1:3, 1:3] = 1  # shares one of four pixels with the first
    ours[0, 7] = 1  # matches nothing
    assert matches(ours, truth) == (1, 2, 1, 2)


def test_interval_of_a_share_in_known_cases():
    assert share(5, 10) == {"hits": 5, "of": 10, "share": 0.5, "low": 0.2366, "high": 0.7634}
    assert share(0, 20)["low"] == 0.0
    assert (share(0, 0)["low"], share(0, 0)["high"]) == (0.0, 1.0)
