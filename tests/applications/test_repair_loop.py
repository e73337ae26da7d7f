"""What is kept and what is undone, with a detector of redness and an inpainter that does as it is told."""

from __future__ import annotations

import numpy as np
import pytest

from applications.repair.loop import COVERED, KEPT, MASS, NEW, TOGETHER, Repairer, Work
from applications.repair.options import RepairOptions

GREY, RED = (120, 120, 120), (255, 0, 0)
BASE = RepairOptions(dilation=0.1, least_crop=8, rounds=2)


def picture(*squares: tuple[int, int], side: int = 40) -> np.ndarray:
    """Grey with red squares of 4 x 4 at these corners."""
    image = np.full((side, side, 3), 120, np.uint8)
    for top, left in squares:
        image[top : top + 4, left : left + 4] = RED
    return image


def test_a_repair_that_helps_is_kept(redness, painter):
    work = Work(picture((4, 4)), "grey", "a")
    inpainter = painter(GREY)
    Repairer(redness, inpainter, BASE)([work])
    assert (work.image == 120).all()
    assert (work.left, [one.verdict for one in work.attempts]) == (0, [KEPT])
    assert work.changed.sum() == 36  # 4 x 4, dilated by one pixel
    assert (work.before == picture((4, 4))).all()
    images, masks, prompts, _ = inpainter.calls[0]
    assert images.shape == (1, 16, 16, 3)  # crop of 9 x 9 brought to the model's size
    assert masks.dtype == np.uint8
    assert prompts == ["grey"]
    attempt = work.attempts[0]
    assert attempt.mass_before == pytest.approx(16)
    assert attempt.mass_after == 0


def test_one_that_does_not_help_is_undone_and_tried_with_another_seed(redness, painter):
    work, inpainter = Work(picture((4, 4)), "", "a"), painter(RED, GREY)
    Repairer(redness, inpainter, BASE)([work])
    assert [one.verdict for one in work.attempts] == [MASS, KEPT]
    assert [one.round for one in work.attempts] == [0, 1]
    assert work.attempts[0].seed != work.attempts[1].seed
    assert (work.image == 120).all()


def test_given_up_after_the_last_round_with_the_picture_as_it_was(redness, painter):
    work = Work(picture((4, 4)), "", "a")
    Repairer(redness, painter(RED), BASE)([work])
    assert [one.verdict for one in work.attempts] == [MASS, MASS]
    assert (work.left, work.changed.any()) == (1, False)
    assert (work.image == work.before).all()


def test_a_clean_picture_is_left_alone(redness, painter):
    work, inpainter = Work(picture(), "", "a"), painter(RED)
    Repairer(redness, inpainter, BASE)([work])
    assert not inpainter.calls
    assert (work.image == picture()).all()


class Echo:
    """A detector that sees a fault in the far corner once the red square is gone."""

    def heat(self, images):
        found = []
        for image in images:
            heat = (image[..., 0] > 200).astype(np.float32)
            if not heat.any():
                heat[-2:, -2:] = 1
            found.append(heat)
        return found


def test_nothing_may_appear_elsewhere(painter):
    work = Work(picture((4, 4)), "", "a")
    Repairer(Echo(), painter(GREY), BASE)([work])
    assert [one.verdict for one in work.attempts] == [NEW, NEW]
    assert work.attempts[0].new_pixels == 4
    assert (work.image == work.before).all()


class Jealous:
    """A detector that minds a square only while another is there; with none it sees both places."""

    def heat(self, images):
        found = []
        for image in images:
            red = image[..., 0] > 200
            heat = red.astype(np.float32)
            if not red.any():
                heat[4:8, 4:8] = heat[24:28, 24:28] = 1
            found.append(heat)
        return found


def test_what_helps_alone_but_not_together_is_undone_but_for_the_best(painter):
    work = Work(picture((4, 4), (24, 24)), "", "a")
    Repairer(Jealous(), painter(GREY), RepairOptions(dilation=0.1, least_crop=8, rounds=1))([work])
    assert sorted(one.verdict for one in work.attempts) == [KEPT, TOGETHER]
    assert work.left == 1
    assert (work.image[..., 0] > 200).sum() == 16


def test_unchecked_keeps_everything_in_one_round(redness, painter):
    work = Work(picture((4, 4), (24, 24)), "", "a")
    Repairer(redness, painter((250, 10, 10)), RepairOptions(dilation=0.1, least_crop=8, rounds=1, check=False))([work])
    assert [one.verdict for one in work.attempts] == [KEPT, KEPT]
    assert work.left == 2
    assert work.image[5, 5].tolist() == [250, 10, 10]


def test_a_mask_that_covers_everything_is_said_and_left(redness, painter):
    work, inpainter = Work(np.full((16, 16, 3), RED, np.uint8), "", "a"), painter(GREY)
    Repairer(redness, inpainter, BASE)([work])
    assert (work.note, work.left, inpainter.calls) == (COVERED, 1, [])
    assert (work.image == work.before).all()


def test_a_component_larger_than_the_model_is_brought_down(redness, painter):
    image = np.full((80, 80, 3), 120, np.uint8)
    image[10:60, 10:60] = RED
    work = Work(image, "", "a")
    Repairer(redness, painter(GREY), BASE)([work])
    assert (work.left, work.attempts[0].scale) == (0, 0.2051)  # 16 / 78
    assert abs(work.image.astype(int) - 120).max() <= 1


def test_pictures_of_any_shape_share_batches_and_the_order_changes_nothing(redness, painter):
    def works():
        sizes = [(40, 40), (40, 90), (90, 40), (40, 40)]
        made = []
        for number, (height, width) in enumerate(sizes):
            image = np.full((height, width, 3), 120, np.uint8)
            image[number : number + 5, 3:9] = RED
            made.append(Work(image, str(number), str(number)))
        return made

    one, other, inpainter = works(), works(), painter(RED, GREY)
    Repairer(redness, inpainter, BASE)(one)
    assert [len(call[2]) for call in inpainter.calls] == [4, 4]
    Repairer(redness, painter(RED, RED, RED, RED, GREY), RepairOptions(dilation=0.1, least_crop=8, rounds=2, batch=1))(
        other[::-1]
    )
    for a, b in zip(one, other, strict=True):
        assert (a.image == b.image).all()
        assert [x.seed for x in a.attempts] == [x.seed for x in b.attempts]


def test_the_picture_is_never_worse_by_the_detectors_own_measure(redness):
    class Noise:
        kind, size, multiple, facts = "masked", 16, 4, {}

        def fill(self, images, masks, prompts, seeds):
            rng = np.random.default_rng(seeds[0])
            return rng.integers(0, 256, images.shape, np.uint8)

    rng = np.random.default_rng(1)
    for seed in range(10):
        image = rng.integers(0, 256, (48, 48, 3), np.uint8)
        work = Work(image, "", str(seed))
        Repairer(redness, Noise(), RepairOptions(rounds=3, seed=seed, least_crop=8, threshold=0.7))([work])
        assert work.now.pixels <= work.mask_before.sum()
        assert (work.image[~work.changed] == image[~work.changed]).all()
