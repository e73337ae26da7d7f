"""FLUX.1 schnell on RichHF-18k's training pictures, on its own grid of four steps (docs/how-to/modern_models.md).

Its last step is the least noise that this grid has: s = 0.25. It takes no guidance.
"""

from mmengine.config import read_base

with read_base():
    from ._flux_schnell import *
    from ._recommended import *
    from ._richhf import *

# The one step is large and its fixed point is reached slowly: as many passes as ReNoise takes.
corruption.update(
    num_grid_steps=4,
    inversion=dict(mode="warm", warm_passes=[10]),
    injection=dict(method="noised", start_step=3),
)
title = "Blemish, FLUX.1 schnell, RichHF-18k's training pictures"
