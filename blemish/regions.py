"""`select_regions`: masks for pictures in memory, by any region policy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from blemish.inputs import Masks, Pictures, read_images, read_masks, read_prompts
from blemish.results import Regions
from shards.source import SourceItem


def select_regions(
    images: Pictures,
    policy: str = "blobs",
    *,
    seed: int = 0,
    captions: str | Sequence[str] | None = None,
    masks: Masks = None,
    **options: Any,
) -> Regions:
    """Propose where to damage pictures.

    What is proposed for a picture follows from its pixels, `seed` and the policy alone.

    Args:
        images: PIL, numpy or torch, one or many, see `blemish.inputs.read_images`.
        policy: a registered region policy (`blobs`: random; `learned`: where a selector says that it would break;
            `files`: the masks given; `mix`), an entry point, or code of your own as `FILE.py:NAME`.
        seed: of the draws.
        captions: of the pictures, for policies that read them.
        masks: of the pictures, for the policy `files`; read as in `Corruptor.__call__`.
        options: the policy's own, such as `area=[0.01, 0.1]` for `blobs`; `blemish config fields` lists them.

    Returns: masks uint8 HW with 0, 1, 255, one for each picture, which a `Corruptor` takes as they are.

    Raises ConfigError (unknown policy or option, naming the nearest), InputError: both ValueErrors.
    """
    from region_select.policy import item_rng, open_policy

    pictures = read_images(images)
    texts = read_prompts(captions, len(pictures))
    planes = None if masks is None else read_masks(masks, [one.shape[:2] for one in pictures])[0]
    items = [
        SourceItem(
            image=picture,
            uri=f"image {place}",
            sha256=hashlib.sha256(picture.tobytes()).hexdigest(),
            caption=texts[place],
            mask=None if planes is None else planes[place],
        )
        for place, picture in enumerate(pictures)
    ]
    opened = open_policy(policy, options)
    # Policies take pictures of one size at a time; here sizes may differ.
    selected = [opened.select([item], [item_rng(seed, item)])[0] for item in items]
    return Regions(
        masks=tuple(
            np.zeros(item.image.shape[:2], np.uint8) if one.mask is None else one.mask
            for item, one in zip(items, selected, strict=True)
        ),
        found=tuple(one.mask is not None for one in selected),
        details=tuple(one.detail for one in selected),
    )
