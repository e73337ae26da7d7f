"""Training the arms and counting what they see; what is done is kept, and the same command goes on.

OUT/arms/NAME-DIGEST/           as `blemish detect train` leaves it
OUT/seen/DIGEST/                counts of one detector on one set
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from detector.config import load_config, set_seed
from detector.heat import Detector, Rejecting
from detector.rejection.hub import find_segmenter, fingerprint_of
from detector.rejection.looks import score_heats
from detector.score.api import Collector
from detector.score.counts import Counts
from detector.score.counts_io import COUNTS_NAME, load_counts, save_counts
from detector.train import WEIGHTS, Job, train
from experiments.msr.plan import Arm, LabelledSet, MsrConfig, facts
from experiments.msr.sets import Labelled
from shards.config import find_config
from shards.files import hash_file, make_folder
from shards.masks import U8
from shards.progress import progress

Look = Callable[[U8], Mapping[str, NDArray[Any]]]
"""A picture -> heat maps by score."""


class Bench:
    """What the tables are made from. device: auto, cpu or cuda."""

    def __init__(self, config: MsrConfig, out: Path, device: str = "auto") -> None:
        self.config, self.out, self.device = config, out, device

    def seeds(self, arm: Arm) -> tuple[int, ...]:
        """A segmenter as it is has nothing that a seed could change."""
        return self.config.seeds if arm.shards else self.config.seeds[:1]

    def weights(self, arm: Arm, seed: int) -> Path:
        """The trained arm; trains it where that is not done. Raises UserErrors."""
        chosen_by = arm.validation or self.config.validation
        told = json.dumps([facts(arm, seed), self.config.adaptation, chosen_by], sort_keys=True)
        named = re.sub(r"[^a-z0-9]+", "-", arm.name.lower()).strip("-")
        folder = self.out / "arms" / f"{named}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
        path = find_config(arm.config or self.config.adaptation)
        config = load_config(path, arm.overrides, arm.iterations or None)
        set_seed(config, seed)
        config.train_dataloader.dataset.limit = arm.limit
        validation = (chosen_by,) if chosen_by else ()
        train(Job(config, path.stem, folder, arm.shards, validation))
        return folder / WEIGHTS

    def open(self, arm: Arm, seed: int, score: str = "msr") -> tuple[Detector, str]:
        """The detector of an arm, and the sha256 of what it was loaded from."""
        if arm.shards:
            path = self.weights(arm, seed)
            return Detector(path, device=self.device), hash_file(path)
        return self.open_segmenter(self.config.segmenter, score, arm.boundary)

    def open_segmenter(self, source: str, score: str, boundary: int = 0) -> tuple[Detector, str]:
        """A bare segmenter as a detector."""
        rejects = Rejecting(score, revision=self.config.revision, boundary=boundary)
        score += f" {boundary}" if boundary else ""
        digest = fingerprint_of(find_segmenter(source, self.config.revision))
        return Detector(source, device=self.device, rejects=rejects), f"{score} {digest}"

    def seen(
        self,
        opened: tuple[Detector, str],
        test: LabelledSet,
        scores: Sequence[str] = (),
        thresholds: Sequence[float] = (),
    ) -> dict[tuple[str, float, str], Counts]:
        """Counts by score, threshold and group; the detector's own score is "". One look at each picture for all."""
        detector, digest = opened
        taus = tuple(thresholds) or (self.config.threshold,)
        told = json.dumps([digest, test.shards, test.by, test.maps, self.config.limit, list(scores), list(taus)])
        folder = self.out / "seen" / hashlib.sha256(told.encode()).hexdigest()[:16]
        pictures = Labelled(test, self.config.limit)
        groups = [pictures.groups(index) for index in range(len(pictures))]
        names = {group for many in groups for group in many}
        wanted = [(score, tau, group) for score in (scores or ("",)) for tau in taus for group in sorted(names)]
        places = {key: folder / f"{number:04d}" for number, key in enumerate(wanted)}
        if not all((place / COUNTS_NAME).is_file() for place in places.values()):
            look = self.looker(detector, scores)
            collectors = {key: Collector(key[1]) for key in wanted}
            for index in progress(range(len(pictures)), "picture", test.name, leave=False):
                image, mask = pictures.load(index)
                heats = look(image)
                for (score, _, group), collector in collectors.items():
                    if group in groups[index]:
                        collector.add(pictures.key(index), mask, heats[score])
            for key, collector in collectors.items():
                make_folder(places[key])
                save_counts(places[key], [collector.counts()])
        return {key: load_counts(place)[0] for key, place in places.items()}

    @staticmethod
    def looker(detector: Detector, scores: Sequence[str]) -> Look:
        if scores:
            return lambda image: score_heats(detector, [image], scores)[0]
        return lambda image: {"": detector.heat([image])[0]}
