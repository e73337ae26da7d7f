"""Table 2 of Menn et al. 2025 in the embedded world: corruption methods."""

from mmengine.config import read_base

with read_base():
    from ._methods import *
    from ._miniworld import *

title = "Corruption methods, embedded world"
