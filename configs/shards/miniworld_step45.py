"""The default from start step 45 of 50: less noise, smaller change."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

corruption.update(injection=dict(method="noised", start_step=45))
title = "Blemish miniworld, start step 45"
