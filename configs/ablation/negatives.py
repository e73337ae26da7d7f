"""What to show as clean, on the embedded world with one try a region: twins, shams, and what verification dropped."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_once import *
    from ._long import *  # isort: skip  its length in place of the world's

title = "Negatives: clean samples, twins, shams, dropped regions; embedded world"
# Samples of one picture in one batch, so that a step sees what they differ in.
together = ["train_dataloader.sampler.together=True"]
arms = [
    dict(name="a tenth clean"),
    dict(name="no clean samples", set=["samples.clean_share=0.0"]),
    dict(name="twins", twins=True),
    dict(name="twins in the same batch", twins=True, detector=together),
    dict(name="shams", shams=True),
    dict(name="shams in the same batch", shams=True, detector=together),
    dict(name="dropped pictures as clean", dropped="clean"),
    dict(name="dropped regions ignored", dropped="ignore"),
    dict(name="shams, dropped pictures as clean", shams=True, dropped="clean"),
]
del together
compare = [[arm["name"], "a tenth clean"] for arm in arms[1:]]
compare += [["twins in the same batch", "twins"], ["shams", "twins"]]
