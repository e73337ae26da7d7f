"""World: the embedded generator, each region damaged once: what an arm changes is not made up for by further tries."""

from mmengine.config import read_base

with read_base():
    from ._miniworld import *

line = "configs/shards/miniworld_once.py"
