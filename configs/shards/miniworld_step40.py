"""The paper's corruption in the embedded world, from its start step, 40 of 50."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_paper import *

corruption.update(injection=dict(method="noised", start_step=40))
