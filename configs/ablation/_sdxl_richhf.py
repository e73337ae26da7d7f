"""World: SDXL on RichHF-18k, tested as the world of Stable Diffusion 1.5 is."""

from mmengine.config import read_base

with read_base():
    from ._sd15_richhf import *

line = "configs/shards/sdxl_richhf_step40.py"
