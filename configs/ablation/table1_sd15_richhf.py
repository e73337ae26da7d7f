"""Table 1 of Menn et al. 2025: labels, pseudo labels, and those corrupted, with Stable Diffusion 1.5 on two sources."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *
    from ._sd15_richhf import *

title = "Corruption against its baselines, Stable Diffusion 1.5 on RichHF-18k and DALL-E 3 pictures"
arms += [
    dict(name="pseudo labels + corruption", selector="100 labels"),
    dict(
        name="pseudo labels, DALL-E 3",
        config="configs/shards/sd15_progamer_step40.py",
        selector="100 labels",
        set=["corruption.sham=True", "corruption.verification.policy='keep'"],
    ),
    dict(
        name="pseudo labels + corruption, DALL-E 3",
        config="configs/shards/sd15_progamer_step40.py",
        selector="100 labels",
    ),
]
compare = [
    ["pseudo labels + corruption", "100 labels"],
    ["pseudo labels + corruption", "pseudo labels"],
    ["pseudo labels + corruption, DALL-E 3", "100 labels"],
    ["pseudo labels + corruption, DALL-E 3", "pseudo labels, DALL-E 3"],
]
