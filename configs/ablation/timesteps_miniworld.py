"""Start steps on the embedded world's own grid of 8, with the corruption that suits it."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *
    from ._miniworld_once import *

title = "Start steps, embedded world, its own grid"
axis = "start step of 8 (0 is most noise)"
seeds = [0, 1]
arms += [
    dict(
        name=f"step {step}",
        selector="100 labels",
        set=[f"corruption.injection.start_step={step}"],
        value=step,
        series="corrupted",
    )
    # At step 6 none of 1,816 damaged pictures changes enough to be kept.
    for step in (5, 4, 3, 2, 1, 0)
]
compare = [
    ["step 0", "100 labels"],
    ["step 0", "pseudo labels"],
    ["step 0", "step 1"],
    ["step 0", "step 3"],
    ["step 0", "step 5"],
]
