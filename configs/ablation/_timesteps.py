"""Arms of table 3 of Menn et al. 2025: where on the 50-step grid noise is injected."""

from mmengine.config import read_base

with read_base():
    from ._baselines import *

axis = "start step (0 is most noise)"
arms += [
    dict(
        name=f"step {step}",
        selector="100 labels",
        set=[f"corruption.injection.start_step={step}"],
        value=step,
        series="corrupted",
    )
    for step in (45, 40, 35, 30, 20, 10, 0)
]
compare = [
    ["step 40", "pseudo labels"],
    ["step 40", "100 labels"],
    ["step 45", "step 40"],
    ["step 40", "step 30"],
    ["step 40", "step 10"],
    ["step 40", "step 0"],
]
