"""Table 4 of Menn et al. 2025: resampling, with Stable Diffusion 1.5 on RichHF-18k."""

from mmengine.config import read_base

with read_base():
    from ._resampling import *
    from ._sd15_richhf import *

title = "Resampling, Stable Diffusion 1.5 on RichHF-18k"
