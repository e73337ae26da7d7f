"""The default from start step 45 of 50: the least noise, and hardly a region breaks."""

from mmengine.config import read_base

with read_base():
    from .miniworld import *

# Every masked region stays, as in the paper: the default's threshold belongs to its own start step.
corruption.update(
    num_grid_steps=50,
    injection=dict(method="noised", start_step=45),
    verification=dict(policy="keep"),
)
source.update(options=dict(count=320))
samples.update(clean_share=0.2)
title = "Blemish miniworld, start step 45"
