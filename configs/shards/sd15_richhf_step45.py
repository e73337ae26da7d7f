"""SD 1.5 on RichHF-18k's training pictures, resampled from step 45 of 50: the paper's table 3."""

from mmengine.config import read_base

with read_base():
    from ._paper import *
    from ._richhf import *
    from ._sd15 import *

corruption.update(injection=dict(method="noised", start_step=45))
title = "Blemish, SD 1.5, RichHF-18k's training pictures, start step 45"
