"""SD 3.5 large on DALL-E 3 pictures: a beginning, untried (docs/how-to/modern_models.md)."""

from mmengine.config import read_base

with read_base():
    from .sd35_progamer_recommended import *

model = dict(
    folder="stabilityai/stable-diffusion-3.5-large",
    revision="ceddf0a7fdf2064ea28e2213e3b84e4afa170a0f",
    licence="stabilityai-ai-community",
)
compute = dict(batch_size=4)
title = "Blemish, SD 3.5 large, DALL-E 3 pictures"
