"""Mask values, components and packed cells, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shards.errors import SchemaError
from shards.masks import check_mask, component_boxes, label_components, mask_from_file, mask_to_file, pack_cells
from shards.masks import unpack_cells as unpack


def test_values_in_memory_and_in_files():
    memory = np.array([[0, 1], [255, 1]], np.uint8)
    stored = mask_to_file(memory)
    assert stored.tolist() == [[0, 255], [128, 255]]
    assert mask_from_file(stored).tolist() == memory.tolist()


@pytest.mark.parametrize("bad", [np.array([[2]], np.uint8), np.array([[1]], np.int64), np.zeros((1, 1, 1), np.uint8)])
def test_other_values_and_shapes_are_refused(bad):
    with pytest.raises(SchemaError):
        check_mask(bad)


def test_a_label_mask_of_zeros_and_ones_is_not_taken_for_a_file():
    with pytest.raises(SchemaError, match=r"holds the values \[1\]; allowed are \[0, 128, 255\]"):
        mask_from_file(np.array([[0, 1]], np.uint8))


def test_components_touch_by_corners_and_ignore_is_no_part():
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 255]], np.uint8)
    assert component_boxes(mask) == [((0, 0, 2, 2), 2), ((3, 1, 4, 2), 1)]
    assert label_components(mask)[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (64, 96)])
def test_cells_survive_packing(shape):
    cells = np.random.default_rng(0).random(shape) > 0.7
    assert np.array_equal(unpack(pack_cells(cells)), cells)


HUGE = "999999999x1000000002:" + pack_cells(np.ones((1, 1), bool)).partition(":")[2]
BOMB = "4x4:" + pack_cells(np.zeros((4000, 4000), bool)).partition(":")[2]


@pytest.mark.parametrize(
    "bad", ["3x3", "axb:eJw=", "2x2:!!", "2x2:eJw=", "-1x-1:eJw=", HUGE, BOMB, "9999x9999:", 7, None]
)
def test_malformed_cells_are_refused(bad):
    with pytest.raises(SchemaError, match="HxW:base64"):
        unpack(bad)
