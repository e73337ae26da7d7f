"""What runs of the line compute once for all of them (corruptor/line/shared.py), as far as a plan can tell."""

from __future__ import annotations

import dataclasses

from ablation.stages import LineWork
from corruptor.config import VerificationConfig
from corruptor.line.config import LineConfig
from corruptor.line.cost import Passes


class Shared:
    """What the runs before have inverted and resampled."""

    def __init__(self) -> None:
        self._inverted: dict[str, int] = {}
        """Passes of an inversion, by `inversion_of`."""
        self._resampled: set[str] = set()
        """By `resampling_of`."""

    def left(self, work: LineWork, config: LineConfig, passes: Passes) -> Passes:
        """Of the passes for a picture, those that no run before this one makes."""
        key = inversion_of(work, config)
        if key not in self._inverted:
            self._inverted[key] = passes.inversion
        else:
            # As far as an earlier run went it is inverted already; the first encoding and its round trip are shared.
            before = self._inverted[key]
            self._inverted[key] = max(passes.inversion, before)
            passes = dataclasses.replace(
                passes,
                inversion=max(0, passes.inversion - before),
                encodes=passes.encodes - 1,
                decodes=passes.decodes - 1,
            )
        if config.corruption.ladder is None and config.corruption.injection.kinds is None:
            key = resampling_of(work, config)
            if key in self._resampled:
                return dataclasses.replace(passes, resampling=0, encodes=0, decodes=0)
            self._resampled.add(key)
        return passes


def inversion_of(work: LineWork, config: LineConfig) -> str:
    """The same for runs whose sources are inverted once for all of them (corruptor/line/shared.inversion_key)."""
    one, samples = config.corruption, config.samples
    prompt = (samples.use_captions, samples.prompt, samples.misspell)
    where = work.sources.identity if work.sources else ""
    made_alike = (config.source, where, config.model, config.size, config.seed, prompt)
    return repr((made_alike, one.inversion, one.num_grid_steps, one.negative_prompt))


def resampling_of(work: LineWork, config: LineConfig) -> str:
    """The same for runs whose rows are resampled once for all of them (corruptor/line/shared.row_key).

    Runs with other shares of clean rows have most rows in common; which, the masks tell, so they count as different.
    """
    alike = dataclasses.replace(
        config.corruption, paste_back=False, raw_negatives=False, verification=VerificationConfig(policy="keep")
    )
    masks = (config.region, work.selected, config.samples.num_variants, config.samples.clean_share)
    return repr((inversion_of(work, config), masks, alike))
