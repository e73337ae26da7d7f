"""Draws are numbered, augmentation follows the number, labels pass unchanged, memory stays flat."""

from __future__ import annotations

import gc
import itertools
import random
import tracemalloc
import types

import numpy as np
import pytest
import torch

from detector import registry  # noqa: F401  registers mmseg's transforms
from detector.data import DrawSampler, MemoryDataset, ShardDataset, seeded
from detector.errors import DataError
from detector.transforms import Light, ResizeImage
from shards.errors import ConfigError
from shards.masks import IGNORE
from shards.reader import ShardReader

CROP = [{"type": "RandomCrop", "crop_size": (24, 24), "cat_max_ratio": 1.0}, {"type": "PackSegInputs"}]
PLAIN = [{"type": "PackSegInputs"}]


def take(sampler: DrawSampler, count: int) -> list[tuple[int, int]]:
    return list(itertools.islice(sampler, count))


def test_every_pass_is_a_permutation_and_the_next_differs():
    drawn = take(DrawSampler(range(7), seed=3), 21)
    passes = [[index for index, _ in drawn[i : i + 7]] for i in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert passes[0] != passes[1] or passes[1] != passes[2]
    assert [number for _, number in drawn] == list(range(21))
    assert take(DrawSampler(range(7), seed=4), 21) != drawn


def test_a_sampler_goes_on_where_it_is_told_to():
    again = DrawSampler(range(7), seed=3)
    again.start = 10
    assert take(again, 8) == take(DrawSampler(range(7), seed=3), 18)[10:]


def test_samples_of_one_picture_stay_together(squares, tmp_path):
    class Grouped(list):
        def groups(self):
            return np.array(self)

    drawn = [index for index, _ in take(DrawSampler(Grouped([0, 0, 1, 2, 2, 2]), seed=3, together=True), 18)]
    for one in (drawn[:6], drawn[6:12], drawn[12:]):
        assert sorted(one) == list(range(6))
        assert one[one.index(0) : one.index(0) + 2] == [0, 1]
        assert one[one.index(3) : one.index(3) + 3] == [3, 4, 5]
    assert len({tuple(one) for one in (drawn[:6], drawn[6:12], drawn[12:])}) > 1
    assert ShardDataset(squares(tmp_path / "run"), PLAIN, limit=5).groups().tolist() == [0, 1, 2, 3, 4]


class Runs(list[int]):
    """A data set of samples by the number of their folder."""

    def runs(self):
        return np.array(self)


def test_folders_of_any_size_give_as_many_draws(squares, tmp_path):
    sampler = DrawSampler(Runs([0, 1, 1, 1, 1, 1, 0]), seed=3, even=True)  # 0 and 6 beside 1 to 5
    drawn = [index for index, _ in take(sampler, 20)]
    assert len(sampler) == 10
    for one in (drawn[:10], drawn[10:]):
        # Side by side one of each; the large folder once, the small one twice and a half.
        assert [sum(index in (0, 6) for index in one[i : i + 2]) for i in range(0, 10, 2)] == [1] * 5
        assert sorted(index for index in one if index not in (0, 6)) == [1, 2, 3, 4, 5]
        assert sorted(one.count(index) for index in (0, 6)) == [2, 3]
    again = DrawSampler(Runs([0, 1, 1, 1, 1, 1, 0]), seed=3, even=True)
    again.start = 13
    assert [index for index, _ in take(again, 7)] == drawn[13:]
    few, many = squares(tmp_path / "few"), squares(tmp_path / "many")
    runs = ShardDataset([few, many], PLAIN).runs()
    assert set(runs.tolist()) == {0, 1}
    assert sorted(runs.tolist()) == runs.tolist()
    with pytest.raises(ConfigError, match="choose one"):
        DrawSampler(Runs([0, 1]), together=True, even=True)


def test_ranks_see_every_folder():
    for rank in (0, 1):
        sampler = DrawSampler(Runs([0] * 4 + [1] * 40), seed=1, even=True)
        sampler.rank, sampler.world = rank, 2
        seen = [index < 4 for index, _ in take(sampler, 40)]
        assert 8 < sum(seen) < 32  # were they in a fixed order, one rank would see one folder alone


def test_ranks_share_the_draws():
    whole = take(DrawSampler(range(5), seed=1), 12)
    parts = []
    for rank in (0, 1):
        sampler = DrawSampler(range(5), seed=1)
        sampler.rank, sampler.world = rank, 2
        parts.append(take(sampler, 6))
    assert parts == [whole[0::2], whole[1::2]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_draw_does_not_depend_on_the_workers(squares, tmp_path, workers):
    dataset = ShardDataset(squares(tmp_path / "run"), CROP, seed=5)
    sampler = DrawSampler(dataset, seed=5)
    loader = torch.utils.data.DataLoader(
        dataset,
        4,
        sampler=sampler,
        num_workers=workers,
        collate_fn=list,
        multiprocessing_context="fork" if workers else None,
    )
    batches = list(itertools.islice(loader, 5))
    found = torch.stack([sample["inputs"] for batch in batches for sample in batch])
    expected = torch.stack([dataset[item]["inputs"] for item in take(sampler, 20)])
    assert torch.equal(found, expected)


def test_the_same_sample_is_cropped_elsewhere_in_the_next_draw(squares, tmp_path):
    dataset = ShardDataset(squares(tmp_path / "run"), CROP)
    first, second, again = dataset[(3, 3)], dataset[(3, 19)], dataset[(3, 3)]
    assert not torch.equal(first["inputs"], second["inputs"])
    assert torch.equal(first["inputs"], again["inputs"])


def test_seeding_leaves_the_global_generators_as_they_were():
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    expected = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with seeded(7, 8):
        first = np.random.rand(), random.random()  # noqa: NPY002
    with seeded(7, 8):
        assert (np.random.rand(), random.random()) == first  # noqa: NPY002
    assert np.array_equal(np.random.get_state()[1], expected[0])  # noqa: NPY002
    assert random.getstate() == expected[1]


def test_pixels_and_labels_reach_the_network_unchanged(squares, tmp_path):
    run = squares(tmp_path / "run")
    sample, made = ShardReader(run)[3], ShardDataset(run, PLAIN)[3]
    assert torch.equal(made["inputs"], torch.from_numpy(sample.image).permute(2, 0, 1))
    assert np.array_equal(made["data_samples"].gt_sem_seg.data[0].numpy(), sample.mask)
    assert made["data_samples"].metainfo["img_path"] == sample.key


def test_ignored_pixels_carry_no_loss(overrides):
    from detector.checkpoint import build_model
    from detector.config import load_config
    from detector.train import Job, make_card

    card = make_card(Job(load_config("configs/detector/swin_mini.py", overrides), "tiny", None))
    model = build_model(card)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (2, 32, 32, 3), np.uint8), np.zeros((2, 32, 32), np.uint8)
    labels[:, :16] = IGNORE
    losses = []
    for value in (0, 1):
        # Where the label is ignored, the prediction must not matter; so no gradient may come from there.
        data = MemoryDataset(images, labels, PLAIN)
        batch = model.data_preprocessor({k: [data[i][k] for i in range(2)] for k in ("inputs", "data_samples")}, True)
        features = model.decode_head(model.extract_feat(batch["inputs"])).detach()
        wide = torch.nn.functional.interpolate(features, (32, 32), mode="bilinear")
        wide[:, :, :16] += torch.tensor([0.0, 5.0 * value])[None, :, None, None]
        truth = torch.stack([s.gt_sem_seg.data[0] for s in batch["data_samples"]])
        losses.append(float(model.decode_head.loss_decode(wide, truth.long(), ignore_index=IGNORE)))
    assert losses[0] == losses[1] > 0


def test_a_mask_of_another_size_is_refused():
    data = MemoryDataset(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 9), np.uint8), PLAIN)
    with pytest.raises(DataError, match=r"mask is \(8, 9\) but the image \(8, 8\)"):
        data[0]


def test_light_changes_nothing_by_default_and_stays_in_bounds():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    assert Light().transform({"img": image})["img"] is image
    np.random.seed(0)  # noqa: NPY002
    brighter = Light(gain=0.5).transform({"img": image.copy()})["img"]
    ratio = brighter[image > 50].astype(float) / image[image > 50]
    assert 0.5 <= ratio.min() <= ratio.max() <= 1.5
    assert np.ptp(ratio[brighter[image > 50] < 255]) < 0.05  # one gain for the whole picture
    with pytest.raises(ValueError, match="must be in"):
        Light(gain=2.0)


def test_resizing_leaves_the_truth_alone():
    mask = np.zeros((10, 20), np.uint8)
    made = ResizeImage(8).transform({"img": np.full((10, 20, 3), 9, np.uint8), "gt_seg_map": mask})
    assert made["img"].shape == (8, 8, 3)
    assert made["gt_seg_map"] is mask


def python_bytes(dataset: ShardDataset) -> int:
    """Bytes of everything reachable from the data set's reader that is no numpy array, file handle or module."""
    seen: set[int] = set()
    todo, total = [dataset.reader.__dict__], 0
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, types.ModuleType, types.FunctionType)):
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            continue
        total += thing.__sizeof__()
        todo += gc.get_referents(thing)
    return total


def test_memory_is_flat_in_the_number_of_samples(squares, tmp_path):
    small = ShardDataset(squares(tmp_path / "a", 8), PLAIN)
    large = ShardDataset(squares(tmp_path / "b", 800, 16), PLAIN)
    # Python objects do not grow with the samples; the index does, by a fixed number of bytes in a few arrays.
    assert python_bytes(large) - python_bytes(small) < 2000
    arrays = [value for value in large.reader.__dict__.values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) / len(large) < 200
    for i in range(100):
        large[i]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for i in range(100, 800):
            large[i]
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()
