"""Table 3 of Menn et al. 2025, other half: start steps, with Stable Diffusion 1.5 on DALL-E 3 pictures."""

from mmengine.config import read_base

with read_base():
    from ._sd15_progamer import *
    from ._timesteps import *

title = "Start steps, Stable Diffusion 1.5 on DALL-E 3 pictures"
