"""How pictures are inverted, in the embedded world."""

from mmengine.config import read_base

with read_base():
    from ._inversion import *
    from ._miniworld import *

title = "Inversion, embedded world"
