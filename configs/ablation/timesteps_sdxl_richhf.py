"""Start steps, with SDXL on RichHF-18k."""

from mmengine.config import read_base

with read_base():
    from ._sdxl_richhf import *
    from ._timesteps import *

title = "Start steps, SDXL on RichHF-18k"
