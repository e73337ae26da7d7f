"""What `make shards` and `make detector` are worth when they take longer: more sources, more iterations."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "More sources and longer trainings for the default, embedded world"
seeds = [0, 1, 2]
set = []
arms = [
    dict(
        name=f"{sources} sources, {iterations} iterations",
        set=[f"source.options.count={sources}"],
        iterations=iterations,
        # Looked at every 400 iterations.
        detector=[f"train_cfg.val_interval={1600 * 400 // iterations}"],
    )
    for sources in (576, 896)
    for iterations in (1600, 3200)
]
compare = [[arm["name"], arms[0]["name"]] for arm in arms[1:]]
