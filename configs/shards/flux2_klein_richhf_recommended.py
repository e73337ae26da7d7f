"""FLUX.2 klein on RichHF-18k's training pictures: a beginning, untried (docs/how-to/modern_models.md).

Its own grid has four steps, of which the one with least noise is at s = 0.77. Of sixteen it is at 0.38, which is near
the ratio of noise to signal of Stable Diffusion 1.5 at step 40. It takes no guidance.
"""

from mmengine.config import read_base

with read_base():
    from ._flux2_klein import *
    from ._recommended import *
    from ._richhf import *

# The one step is large and its fixed point is reached slowly: as many passes as ReNoise takes.
corruption.update(
    num_grid_steps=16,
    inversion=dict(mode="warm", warm_passes=[10]),
    injection=dict(method="noised", start_step=15),
)
title = "Blemish, FLUX.2 klein, RichHF-18k's training pictures"
