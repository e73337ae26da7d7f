"""The paper's corruption in the embedded world, from start step 30 of 50: the most noise of its table 3."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_paper import *

corruption.update(injection=dict(method="noised", start_step=30))
title = "Blemish miniworld, start step 30"
