"""SD 1.5 on DALL-E 3 pictures, resampled from step 45 of 50: the paper's table 3."""

from mmengine.config import read_base

with read_base():
    from ._paper import *
    from ._progamer import *
    from ._sd15 import *

corruption.update(injection=dict(method="noised", start_step=45))
title = "Blemish, SD 1.5, DALL-E 3 pictures, start step 45"
