"""Table 3 of Menn et al. 2025 in the embedded world: start steps."""

from mmengine.config import read_base

with read_base():
    from ._miniworld import *
    from ._timesteps import *

title = "Start steps, embedded world"
