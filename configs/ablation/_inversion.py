"""Arms: how a picture is inverted before it is corrupted, from an early start step, where that matters most."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *

arms += [
    dict(
        name=name,
        selector="100 labels",
        set=["corruption.injection.start_step=20", f"corruption.inversion={inversion}"],
    )
    for name, inversion in (
        ("DDIM", {"mode": "ddim"}),
        ("one warm pass", {"mode": "warm", "warm_passes": [1]}),
        ("warm passes 3, 5, 2, 1", {"mode": "warm", "warm_passes": [3, 5, 2, 1]}),
        ("ReNoise", {"mode": "renoise"}),
        ("ReNoise, regularised", {"mode": "renoise", "regularise": True}),
    )
]
compare = [
    ["warm passes 3, 5, 2, 1", "DDIM"],
    ["ReNoise", "DDIM"],
    ["warm passes 3, 5, 2, 1", "ReNoise"],
    ["ReNoise, regularised", "ReNoise"],
]
