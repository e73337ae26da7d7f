"""Where to damage, on the embedded world's default."""

from mmengine.config import read_base

with read_base():
    from ._miniworld_own import *

title = "Regions: selector, parts, blobs; threshold, dilation, smallest component; embedded world"
made = dict(wild=dict(count=2000))
closed_world_limits = "region.options.limits={'min_component_area': 0.002}"
parts = (
    "region={'policy': 'scene', 'options': {'level': 'parts', 'max_regions': 2, "
    "'limits': {'dilation': 1, 'min_area': 0.006, 'max_area': 0.2}}}"
)
# Two by two: the arm of closed_world.py differs from the default in its selector and in its limits.
arms = [
    dict(name="default: shipped selector, tau 0.4"),
    dict(name="selector of 100 labels", selector="labels"),
    dict(name="selector of 2,000 labels", selector="wild"),
    dict(name="limits of the closed world", set=[closed_world_limits]),
    dict(name="selector and limits of the closed world", selector="labels", set=[closed_world_limits]),
    dict(name="parts of scenes", config="configs/shards/miniworld_parts.py"),
    dict(name="parts alone", set=[parts]),
    dict(name="parts alone, nothing doubled", set=[parts, "corruption.ladder=None"]),
    dict(name="nothing doubled", set=["corruption.ladder=None"]),
    dict(name="no fallback", set=["region.options.fallback='none'"]),
    dict(name="blobs", set=["region={'policy': 'blobs', 'options': {'area': [0.01, 0.1], 'max_blobs': 2}}"]),
    *(dict(name=f"tau {tau}", set=[f"region.options.tau={tau}"]) for tau in (0.2, 0.3, 0.5)),
    *(dict(name=f"dilation {pixels}", set=[f"region.options.limits.dilation={pixels}"]) for pixels in (0, 2)),
    *(
        dict(
            name=f"components from {area}",
            set=[f"region.options.limits.min_component_area={area}", f"region.options.limits.min_area={area}"],
        )
        for area in (0.002, 0.02)
    ),
]
del closed_world_limits, parts
compare = [
    ["parts alone", "parts alone, nothing doubled"],
    ["selector and limits of the closed world", "default: shipped selector, tau 0.4"],
    ["selector and limits of the closed world", "selector of 100 labels"],
    ["selector and limits of the closed world", "limits of the closed world"],
    *(
        ["default: shipped selector, tau 0.4", other]
        for other in (
            "selector of 100 labels",
            "selector of 2,000 labels",
            "parts of scenes",
            "parts alone",
            "nothing doubled",
            "no fallback",
            "blobs",
            "tau 0.2",
            "tau 0.5",
            "dilation 0",
        )
    ),
]
