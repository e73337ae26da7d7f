"""FLUX.1 dev on DALL-E 3 pictures: a beginning, untried (docs/how-to/modern_models.md)."""

from mmengine.config import read_base

with read_base():
    from ._flux_dev import *
    from ._progamer import *
    from ._recommended import *

# On this model's shifted grid: the ratio of noise to signal of Stable Diffusion 1.5 at step 40.
corruption.update(injection=dict(method="noised", start_step=43))
title = "Blemish, FLUX.1 dev, DALL-E 3 pictures"
