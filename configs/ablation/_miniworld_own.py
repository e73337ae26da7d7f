"""World: the embedded generator with the corruption that suits it, the default of `make shards`."""

from mmengine.config import read_base

with read_base():
    from ._miniworld import *

line = "configs/shards/miniworld.py"
