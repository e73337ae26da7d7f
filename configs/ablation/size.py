"""Samples by iterations, corrupted and with the oracle's labels: is a training short of samples, or of time?"""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "Size: samples by iterations, embedded world"
axis = "samples, clean ones among them"
log_axis = True
set = ["source.options.count=11000", "source.options.first_seed=500000"]
made = dict(wild=dict(count=8000))
# Long trainings are looked at every 500 iterations and end where validation has not risen for 4,000.
patience = {
    iterations: [f"train_cfg.val_interval={1600 * 500 // iterations}", "train_cfg.patience=8"]
    for iterations in (6000, 20000)
}
arms = [
    dict(
        name=f"{kind}, {samples}, {iterations} iterations",
        samples=samples,
        iterations=iterations,
        detector=patience.get(iterations, []),
        value=samples,
        series=f"{kind}, {iterations} iterations",
        **data,
    )
    for kind, data in (("corrupted", {}), ("oracle's labels", {"shards": "wild"}))
    for iterations in (1500, 6000, 20000)
    for samples in (250, 1000, 4000, 8000)
]
del patience
compare = [
    ["corrupted, 8000, 6000 iterations", "corrupted, 1000, 6000 iterations"],
    ["corrupted, 1000, 6000 iterations", "corrupted, 1000, 1500 iterations"],
    ["corrupted, 8000, 20000 iterations", "corrupted, 8000, 6000 iterations"],
    ["oracle's labels, 8000, 6000 iterations", "corrupted, 8000, 6000 iterations"],
    ["oracle's labels, 8000, 20000 iterations", "corrupted, 8000, 20000 iterations"],
]
