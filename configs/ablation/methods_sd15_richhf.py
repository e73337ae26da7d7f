"""Table 2 of Menn et al. 2025: corruption methods, with Stable Diffusion 1.5 on RichHF-18k."""

from mmengine.config import read_base

with read_base():
    from ._methods import *
    from ._sd15_richhf import *

title = "Corruption methods, Stable Diffusion 1.5 on RichHF-18k"
