"""The default from start step 30 of 50: more noise, larger change."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

corruption.update(injection=dict(method="noised", start_step=30))
title = "Blemish miniworld, start step 30"
