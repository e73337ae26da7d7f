"""Which generator settings draw the damage: those that wild pictures are sampled with, or fewer steps, no guidance."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_once import *
    from ._long import *  # isort: skip  its length in place of the world's

title = "Appearance: steps and guidance of the corruption; embedded world"
arms = [
    dict(name="8 steps, no guidance"),
    dict(name="8 steps, guidance 2.5", set=["corruption.resampling.guidance_scale=2.5"]),
    dict(name="30 steps, no guidance", set=["corruption.num_grid_steps=30"]),
    # miniworld.generator.sample: 30 steps, guidance 2.5.
    dict(
        name="as wild pictures: 30 steps, guidance 2.5",
        set=["corruption.num_grid_steps=30", "corruption.resampling.guidance_scale=2.5"],
    ),
    # And with their captions, in which words are spelt as they should be.
    dict(
        name="as wild pictures, words as they are",
        set=[
            "corruption.num_grid_steps=30",
            "corruption.resampling.guidance_scale=2.5",
            "samples.misspell=False",
        ],
    ),
    dict(name="ancestral noise, 30 steps", set=["corruption.num_grid_steps=30", "corruption.resampling.eta=1.0"]),
]
compare = [[arm["name"], "8 steps, no guidance"] for arm in arms[1:]]
compare += [["as wild pictures: 30 steps, guidance 2.5", "30 steps, no guidance"]]
