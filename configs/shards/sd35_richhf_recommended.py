"""SD 3.5 on RichHF-18k's training pictures: a beginning, untried (docs/how-to/modern_models.md)."""

from mmengine.config import read_base

with read_base():
    from ._recommended import *
    from ._richhf import *
    from ._sd35 import *

# On this model's shifted grid: the ratio of noise to signal of Stable Diffusion 1.5 at step 40.
corruption.update(injection=dict(method="noised", start_step=42))
title = "Blemish, SD 3.5, RichHF-18k's training pictures"
