"""SDXL on DALL-E 3 pictures, resampled from step 35 of 50: the paper's table 3."""

from mmengine.config import read_base

with read_base():
    from ._paper import *
    from ._progamer import *
    from ._sdxl import *

corruption.update(injection=dict(method="noised", start_step=35))
title = "Blemish, SDXL, DALL-E 3 pictures, start step 35"
