"""Table 4 of Menn et al. 2025 in the embedded world: resampling."""

from mmengine.config import read_base

with read_base():
    from ._miniworld import *
    from ._resampling import *

title = "Resampling, embedded world"
