"""How pictures are inverted, with Stable Diffusion 1.5 on RichHF-18k."""

from mmengine.config import read_base

with read_base():
    from ._inversion import *
    from ._sd15_richhf import *

title = "Inversion, Stable Diffusion 1.5 on RichHF-18k"
