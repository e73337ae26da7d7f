"""SDXL on RichHF-18k's training pictures, resampled from step 40 of 50: the paper's main setting."""

from mmengine.config import read_base

with read_base():
    from ._paper import *
    from ._richhf import *
    from ._sdxl import *

corruption.update(injection=dict(method="noised", start_step=40))
title = "Blemish, SDXL, RichHF-18k's training pictures, start step 40"
