"""Table 3 of Menn et al. 2025: start steps, with Stable Diffusion 1.5 on RichHF-18k."""

from mmengine.config import read_base

with read_base():
    from ._sd15_richhf import *
    from ._timesteps import *

title = "Start steps, Stable Diffusion 1.5 on RichHF-18k"
