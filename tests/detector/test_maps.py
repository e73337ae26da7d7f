"""Heat maps of large pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detector import heat


@pytest.mark.parametrize(("rows", "columns"), [(7, 7), (5, 9), (1, 1)])
def test_large_heat_maps_are_enlarged_by_strips(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch):
    small = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0))
    whole = heat.enlarge(small, 101, 60)
    monkeypatch.setattr(heat, "WHOLE", 0)
    found = list(heat.enlarged(small, 101, 60, 16))
    assert [(where.start, where.stop) for where, _ in found][-2:] == [(80, 96), (96, 101)]
    np.testing.assert_allclose(np.concatenate([part for _, part in found]), whole, atol=1e-6)
    assert all(part.dtype == np.float32 for _, part in found)
