"""The default from start step 20 of 50: much noise, large change, also outside the mask."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

corruption.update(injection=dict(method="noised", start_step=20))
title = "Blemish miniworld, start step 20"
