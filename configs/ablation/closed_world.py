"""Table 1 of Menn et al. 2025 in the embedded world: what masks, corruption and true labels are worth."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "The closed world"
backbones = ["swin_mini", "convnext_mini"]
seeds = [0, 1, 2]
made = {"wild-train": dict(count=2000)}
# Eight pixels of 64 x 64; nothing else of the shipped selector's limits.
set += ["region.options.limits={'min_component_area': 0.002}"]
arms = [
    dict(name="100 labels", shards="labels"),
    # Masks as labels, nothing injected: the pictures go through all else, as those of the other arms do.
    dict(
        name="pseudo labels",
        selector="100 labels",
        set=["corruption.sham=True", "corruption.verification.policy='keep'", "corruption.ladder=None"],
    ),
    dict(name="pseudo labels + corruption", selector="100 labels"),
    dict(
        name="random masks + corruption",
        set=["region={'policy': 'blobs', 'options': {'area': [0.01, 0.1], 'max_blobs': 2}}"],
    ),
    dict(name="oracle labels", shards="wild-train"),
]
compare = [
    ["pseudo labels + corruption", "pseudo labels"],
    ["pseudo labels + corruption", "100 labels"],
    ["pseudo labels + corruption", "random masks + corruption"],
    ["pseudo labels", "100 labels"],
    ["oracle labels", "pseudo labels + corruption"],
]
gaps = [["pseudo labels + corruption", "pseudo labels", "oracle labels"]]
