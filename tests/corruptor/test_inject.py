"""Cells, noise and transforms in cases small enough to solve by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from corruptor.config import METHODS, CorruptionConfig, InjectionConfig
from corruptor.inject import cells_from_mask, forward_noise, inject, transform, transform_images
from corruptor.noise import draw_noise, sample_generator, sample_seed


def mask_of(*rows: str) -> Tensor:
    return torch.tensor([[[{".": 0, "#": 1, "?": 255}[pixel] for pixel in row] for row in rows]], dtype=torch.uint8)


def cells_of(mask: Tensor, factor: int) -> list[str]:
    return ["".join("#" if cell else "." for cell in row) for row in cells_from_mask(mask, factor)[0].tolist()]


def test_a_cell_counts_from_half_covered() -> None:
    # Cells of 2 x 2: two pixels of four are half; the lone pixel of a component with a fuller cell is not enough.
    mask = mask_of("##..", "..#.", "....", "....")
    assert cells_of(mask, 2) == ["#.", ".."]


def test_every_component_gets_a_cell() -> None:
    # One pixel alone, and a diagonal whose pixels fall one to a cell: first cell in row-major order.
    assert cells_of(mask_of("....", "....", "...#", "...."), 2) == ["..", ".#"]
    assert cells_of(mask_of("....", ".#..", "..#.", "...."), 2) == ["#.", ".."]


def test_two_components_in_one_cell_and_ignored_pixels() -> None:
    # Opposite edges of one 4 x 4 cell: 4 of 16 pixels each, together half. Ignored pixels never count.
    assert cells_of(mask_of("#..#", "#..#", "#..#", "#..#"), 4) == ["#"]
    assert cells_of(mask_of("??..", "??..", "....", "...."), 2) == ["..", ".."]
    assert cells_of(mask_of("....", "....", "....", "...."), 4) == ["."]


def test_a_thin_finger_is_not_lost() -> None:
    mask = torch.zeros(1, 16, 16, dtype=torch.uint8)
    mask[0, 1:15, 5] = 1  # one pixel wide: a quarter of every 4 x 4 cell it meets
    assert cells_from_mask(mask, 4).sum() == 1


def test_mask_sides_must_fit() -> None:
    with pytest.raises(ValueError, match="6 x 8 pixels; both sides must be multiples of 4"):
        cells_from_mask(torch.zeros(1, 6, 8, dtype=torch.uint8), 4)


def test_noised_is_equation_four_inside_and_untouched_outside() -> None:
    z_t, z0, noise = torch.full((1, 2, 2, 2), 9.0), torch.full((1, 2, 2, 2), 2.0), torch.full((1, 2, 2, 2), 3.0)
    cells = torch.tensor([[[True, False], [False, False]]])
    result = inject(z_t, z0, noise, cells, (0.8, 0.6), InjectionConfig())
    assert result[0, :, 0, 0].tolist() == pytest.approx([0.8 * 2 + 0.6 * 3] * 2)
    assert (result[0, :, ~cells[0]] == 9.0).all()


@pytest.mark.parametrize("method", ["gaussian", "direct"])
def test_plain_noise_methods(method: str) -> None:
    z, noise = torch.zeros(1, 1, 1, 2), torch.full((1, 1, 1, 2), 3.0)
    result = inject(z, z, noise, torch.tensor([[[True, False]]]), (0.5, 0.5), InjectionConfig(method=method))
    assert result.flatten().tolist() == [3.0, 0.0]


def test_rotation_turns_each_component_in_place() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    where = torch.zeros(1, 4, 4, dtype=torch.bool)
    where[0, :2, :2] = True
    turned = transform(x, where, InjectionConfig(method="rotate"), unit=1)[0, 0]
    assert torch.equal(turned[:2, :2], torch.rot90(x[0, 0, :2, :2]))
    assert torch.equal(turned[2:], x[0, 0, 2:])
    four = x
    for _ in range(4):
        four = transform(four, where, InjectionConfig(method="rotate"), unit=1)
    assert torch.equal(four, x)


def test_rotation_of_a_bar_at_the_edge_stays_inside_the_image() -> None:
    x = torch.rand(1, 3, 4, 12, generator=torch.Generator().manual_seed(0))
    where = torch.zeros(1, 4, 12, dtype=torch.bool)
    where[0, 0, :] = True
    turned = transform(x, where, InjectionConfig(method="rotate"), unit=1)
    assert torch.isfinite(turned).all()
    assert not torch.equal(turned[:, :, 0], x[:, :, 0])
    assert torch.equal(turned[:, :, 1:], x[:, :, 1:])


def test_blur_keeps_flat_areas_and_spreads_a_point() -> None:
    where = torch.ones(1, 9, 9, dtype=torch.bool)
    flat = torch.full((1, 2, 9, 9), 5.0)
    config = InjectionConfig(method="blur", blur_sigma=1.0)
    torch.testing.assert_close(transform(flat, where, config, 1), flat)
    point = torch.zeros(1, 1, 9, 9)
    point[0, 0, 4, 4] = 1.0
    spread = transform(point, where, config, 1)[0, 0]
    # Discrete Gaussian of sigma 1 over -3 .. 3: its middle weight is 0.3990503.
    assert float(spread[4, 4]) == pytest.approx(0.3990503**2, abs=1e-6)
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-5)


def test_downscale_is_the_window_mean() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    where = torch.ones(1, 8, 8, dtype=torch.bool)
    assert (transform(x, where, InjectionConfig(method="downscale"), 1) == x.mean()).all()


@pytest.mark.parametrize("method", ["blur", "rotate", "downscale"])
def test_image_transforms_touch_only_the_mask(method: str) -> None:
    images = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    masks = torch.zeros(2, 16, 16, dtype=torch.uint8)
    masks[0, 4:12, 4:12] = 1
    changed = transform_images(images, masks, InjectionConfig(method=method, act_on="image"), factor=4)
    inside = masks == 1
    assert changed.dtype == torch.uint8
    assert torch.equal(changed[~inside], images[~inside])
    assert not torch.equal(changed[inside], images[inside])


def test_z0_transforms_are_noised_forward() -> None:
    z0 = torch.arange(64.0).reshape(1, 1, 8, 8)
    noise = torch.ones(1, 1, 8, 8)
    cells = torch.ones(1, 8, 8, dtype=torch.bool)
    config = InjectionConfig(method="downscale", act_on="z0")
    result = inject(torch.zeros_like(z0), z0, noise, cells, (0.8, 0.6), config)
    torch.testing.assert_close(result, forward_noise(torch.full_like(z0, 31.5), noise, (0.8, 0.6)))


def test_noise_depends_on_the_sample_alone() -> None:
    seeds = [sample_seed(0, "ab" * 32, 0, variant) for variant in range(4)]
    assert len(set(seeds)) == 4
    assert sample_seed(0, "AB" * 32, 0, 1) == seeds[1]
    assert len({sample_seed(*key) for key in ((1, "ab", 0, 0), (0, "ab", 1, 0), (0, "ac", 0, 0))}) == 3
    assert all(0 <= seed < 2**63 for seed in seeds)
    together = draw_noise([sample_generator(seed) for seed in seeds], (4, 16, 16), torch.device("cpu"))
    for order in ((2,), (3, 1), (1, 0, 2, 3)):
        other = draw_noise([sample_generator(seeds[row]) for row in order], (4, 16, 16), torch.device("cpu"))
        assert torch.equal(other, together[list(order)])


def test_seed_is_pinned() -> None:
    """Shards made earlier must be made again bit for bit: changing this breaks them."""
    assert sample_seed(17, "00" * 32, 2, 1) == 1978367892047130440


def test_start_steps_follow_the_method() -> None:
    steps = {name: CorruptionConfig(injection=InjectionConfig(method=name)).start_step for name in METHODS}
    assert steps == {"noised": 40, "gaussian": 30, "blur": 30, "rotate": 30, "downscale": 30, "direct": 50}
    assert CorruptionConfig(injection=InjectionConfig(start_step=0)).start_step == 0
    assert CorruptionConfig(num_grid_steps=20).start_step == 16


def test_config_errors_name_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"injection\.method is 'noise'; allowed are noised, gaussian"):
        InjectionConfig(method="noise")
    with pytest.raises(ValueError, match="method 'gaussian' can act on z_t"):
        InjectionConfig(method="gaussian", act_on="image")
    with pytest.raises(ValueError, match=r"allows 0\.\.49"):
        CorruptionConfig(injection=InjectionConfig(start_step=50))
