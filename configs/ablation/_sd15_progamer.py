"""World: Stable Diffusion 1.5 on DALL-E 3 pictures, tested as the world of RichHF-18k is."""

from mmengine.config import read_base

with read_base():
    from ._sd15_richhf import *

line = "configs/shards/sd15_progamer_step40.py"
