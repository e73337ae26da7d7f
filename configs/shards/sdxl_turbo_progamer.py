"""SDXL-Turbo on DALL-E 3 pictures, on its own grid of four steps (docs/how-to/models.md).

One step of noise, to timestep 249, is the least that this grid has: between start steps 36 and 37 of 50 elsewhere.
"""

from mmengine.config import read_base

with read_base():
    from ._progamer import *
    from ._recommended import *
    from ._sdxl import *

model.update(
    folder="stabilityai/sdxl-turbo",
    revision="71153311d3dbb46851df1931d3ca6e939de83304",
    licence="sai-nc-community",
    vae="madebyollin/sdxl-vae-fp16-fix",
    vae_revision="207b116dae70ace3637169f1ddd2434b91b3a8cd",
)
size.update(size=512)
compute.update(batch_size=32)
# The one step is large and its fixed point is reached slowly: as many passes as ReNoise takes.
corruption.update(
    num_grid_steps=4,
    inversion=dict(mode="warm", warm_passes=[10]),
    injection=dict(method="noised", start_step=3),
)
title = "Blemish, SDXL-Turbo, DALL-E 3 pictures"
