"""`python -m detector predict`: what a detector sees in pictures, as files, and the pictures from best to worst.

    DIR/heat/KEY.png       8-bit grey, round(255 * probability of an artifact), at the picture's own size
    DIR/masks/KEY.png      0 and 255: probability at or above the threshold
    DIR/overlays/KEY.webp  the picture with heat in red and the mask's outline in white
    DIR/par.csv, par.json  a line for each picture, least artifact first; PAR = pixels in the mask / all pixels
    DIR/rejects.jsonl      inputs that are no pictures, each with its reason
    DIR/predict.json       checkpoint, threshold and input; the same command again resumes

Maps are kept while the picture's bytes are the same: its sha256 stands in their PNGs. While the model looks at one
batch, threads read the next and write the last: Pillow frees Python's lock. The bytes of pictures in memory are
bounded.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from detector.checkpoint import fingerprint
from detector.heat import Detector, Looker, Rejecting
from detector.inputs import Inputs, Stored, open_inputs
from detector.maps import HEAT, MASKS, OVERLAYS, Places, Row, finished, write_maps
from detector.operating import choose_threshold
from shards.ahead import IN_FLIGHT
from shards.claims import Claim
from shards.errors import ConfigError
from shards.files import make_folder, write_bytes, write_json
from shards.masks import U8
from shards.progress import GOES_ON, Progress
from shards.source import Reject

RUN = "predict.json"
AHEAD = 2
"""Batches that are read in advance."""
MAX_BATCH = 1024
WRITING = 16
"""Bytes a pixel while the files of a picture are made."""
NOTHING = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Options:
    """How to look."""

    threshold: float = 0.5
    batch: int = 16
    device: str = "auto"
    overlays: bool = True
    max_fpr: float | None = None
    """Choose the threshold so that at most this share of the clean pictures has a pixel in its mask, 0 <= f < 1."""
    clean: str = ""
    """Clean pictures or shards that the threshold is chosen on."""
    rejects: Rejecting | None = None
    """How a bare segmenter, named in place of a checkpoint, is a detector."""

    def __post_init__(self) -> None:
        if (self.max_fpr is None) != (not self.clean):
            raise ConfigError("--max-fpr needs clean pictures or shards, --clean WHERE, and the other way round")
        if self.max_fpr is not None and not 0 <= self.max_fpr < 1:
            raise ConfigError(f"--max-fpr must be 0 or more and below 1, such as 0.05, got {self.max_fpr}")
        if not 0 < self.threshold < 1:
            raise ConfigError(f"--threshold must lie between 0 and 1, got {self.threshold}")
        if not 1 <= self.batch <= MAX_BATCH:
            raise ConfigError(f"--batch must be 1 or more, at most {MAX_BATCH}, got {self.batch}")


@dataclass(frozen=True)
class Outcome:
    """What was found; rows from best to worst."""

    rows: list[Row]
    rejects: list[Reject]
    out: Path

    def summary(self) -> str:
        """One line."""
        marked = sum(row.artifact_pixels > 0 for row in self.rows)
        lost = f", {len(self.rejects)} rejected (rejects.jsonl)" if self.rejects else ""
        return f"{len(self.rows)} pictures in {self.out}, {marked} with artifacts{lost}"


def predict(
    checkpoint: Path, where: str, out: Path, options: Options = Options(), config: str | None = None
) -> Outcome:
    """Look at every picture and write what the module's head lists.

    Raises MissingInputError, InputError, CheckpointError, ConfigError, ResumeError (OUT holds something else),
    OutputError.
    """
    inputs = open_inputs(where)
    detector = open_detector(checkpoint, options, config)
    return predict_with(detector, identify(checkpoint, options.rejects), where, out, options, inputs)


def open_detector(checkpoint: Path, options: Options, config: str | None) -> Detector:
    """Raises MissingInputError, CheckpointError, ConfigError."""
    card = None
    if config is not None:
        from detector.train import card_of_config

        card = card_of_config(config)
    return Detector(checkpoint, card, options.device, options.rejects)


def predict_with(
    detector: Looker, digest: str, where: str, out: Path, options: Options, inputs: Inputs | None = None
) -> Outcome:
    """As `predict`, with whatever looks at pictures; `digest` says which weights it has, `inputs` is `where` opened."""
    inputs = inputs or open_inputs(where)
    options = with_threshold(detector, options)
    return write_all(digest, where, out, options, Looking(detector, inputs, out, options).run)


def with_threshold(detector: Looker, options: Options) -> Options:
    """The options with the threshold that --max-fpr chooses."""
    if options.max_fpr is None:
        return options
    threshold, num_clean = choose_threshold(detector, options.clean, options.max_fpr, options.batch)
    print(f"threshold {threshold:.6g}: at most {options.max_fpr:.3g} of {num_clean} clean pictures reach it")
    return dataclasses.replace(options, threshold=threshold)


def write_all(
    digest: str, where: str, out: Path, options: Options, look: Callable[[], tuple[list[Row], list[Reject]]]
) -> Outcome:
    """Claim the folder, look, and write the table. Raises ResumeError, OutputError, and what `look` raises."""
    identity = {"checkpoint_sha256": digest, "input": where, **asdict(options)}
    left_out = ("batch", "device") if options.rejects else ("batch", "device", "rejects")
    lasting = {key: value for key, value in identity.items() if key not in left_out}
    with Claim(out, RUN, lasting, "prediction").held():
        for name in (HEAT, MASKS, OVERLAYS) if options.overlays else (HEAT, MASKS):
            make_folder(out / name)
        rows, rejects = look()
        rows.sort(key=lambda row: (row.par, row.max, row.mean, row.key))
        write_table(out, rows, options.threshold)
        lines = "".join(json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
        write_bytes(out / "rejects.jsonl", lines.encode("utf-8", "backslashreplace"))
    return Outcome(rows, rejects, out)


def identify(checkpoint: Path, rejects: Rejecting | None) -> str:
    """sha256 of the weights."""
    if rejects is None:
        return fingerprint(checkpoint)
    from detector.rejection.hub import find_segmenter, fingerprint_of

    return fingerprint_of(find_segmenter(str(checkpoint), rejects.revision))


@dataclass(frozen=True)
class Loaded:
    """A picture that must be looked at: uint8 HWC RGB as it is, and as the detector takes it."""

    stored: Stored
    image: U8
    prepared: U8

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + self.prepared.nbytes


class Looking:
    """One pass over the inputs. What is done when depends on counts and sizes alone, never on which thread is first."""

    def __init__(
        self, detector: Looker, inputs: Inputs, out: Path, options: Options, within: range | None = None
    ) -> None:
        self.detector, self.inputs, self.out, self.options = detector, inputs, out, options
        self.within = range(len(inputs)) if within is None else within
        """Which of the inputs; a part is looked at without a bar."""
        self.quiet = within is not None
        self.rows: dict[int, Row] = {}
        self.rejects: dict[int, Reject] = {}
        self.reading: deque[tuple[int, int, Future[Reject | Row | Loaded]]] = deque()
        self.group: list[tuple[int, Loaded]] = []
        self.writing: deque[tuple[int, int, Future[Row]]] = deque()
        self.held = 0
        """Bytes that the pictures in these three take."""

    def run(self) -> tuple[list[Row], list[Reject]]:
        """Rows and rejects in the order of the input."""
        end = self.within.stop
        with (
            ThreadPoolExecutor(max(2, min(8, os.cpu_count() or 2))) as self.pool,
            Progress(len(self.within), "picture", resumes=GOES_ON, quiet=self.quiet) as shown,
        ):
            index, cost = self.within.start, self.inputs.cost(self.within.start) if self.within else 0
            while index < end or self.reading:
                if index < end and len(self.reading) < AHEAD * self.options.batch and self.fits(cost):
                    self.reading.append((index, cost, self.pool.submit(self.load, index)))
                    self.held += cost
                    index += 1
                    cost = self.inputs.cost(index) if index < end else 0
                elif self.reading:
                    before = len(self.rejects)
                    self.take()
                    shown.update(1, len(self.rejects) - before)
                elif self.group:
                    self.look()
                else:
                    self.finish_one()
            self.look()
            while self.writing:
                self.finish_one()
        return [self.rows[i] for i in sorted(self.rows)], [self.rejects[i] for i in sorted(self.rejects)]

    def fits(self, cost: int) -> bool:
        return not self.held or self.held + cost <= IN_FLIGHT

    def load(self, index: int) -> Reject | Row | Loaded:
        """In a thread: the picture, or what is known of it already."""
        stored = self.inputs.read(index)
        if isinstance(stored, Reject):
            self.places(self.inputs.keys[index]).clear()
            return stored
        row = finished(stored.key, stored.uri, stored.sha256, self.places(stored.key))
        if row is not None:
            return row
        image = self.inputs.decode(stored)
        if isinstance(image, Reject):
            self.places(stored.key).clear()
            return image
        return Loaded(dataclasses.replace(stored, data=b""), image, self.detector.prepare(image))

    def places(self, key: str) -> Places:
        return Places.of(self.out, key, self.options.overlays)

    def take(self) -> None:
        """The next picture that was read, in order; a full group is looked at."""
        index, cost, future = self.reading.popleft()
        loaded = future.result()
        self.held -= cost
        if isinstance(loaded, Reject):
            self.rejects[index] = loaded
        elif isinstance(loaded, Row):
            self.rows[index] = loaded
        else:
            self.group.append((index, loaded))
            self.held += loaded.nbytes
            if len(self.group) == self.options.batch:
                self.look()

    def look(self) -> None:
        """The group through the model, and its files on their way."""
        group, self.group = self.group, []
        heats = self.detector.look([one.prepared for _, one in group]) if group else []
        for place, ((index, loaded), heat) in enumerate(zip(group, heats, strict=True)):
            group[place] = (index, Loaded(loaded.stored, NOTHING, NOTHING))
            if torch.isfinite(heat).all():
                self.write(index, loaded, heat)
            else:
                self.held -= loaded.nbytes
                self.places(loaded.stored.key).clear()
                self.rejects[index] = Reject(loaded.stored.uri, "not_finite")
            del loaded

    def write(self, index: int, loaded: Loaded, heat: torch.Tensor) -> None:
        cost = WRITING * loaded.image.shape[0] * loaded.image.shape[1]
        while self.writing and self.held + cost > IN_FLIGHT:
            self.finish_one()
        self.held += cost
        stored = loaded.stored
        facts = (stored.key, stored.uri, stored.sha256, [loaded.image], heat, self.options.threshold)
        self.writing.append(
            (index, cost + loaded.nbytes, self.pool.submit(write_maps, *facts, self.places(stored.key)))
        )

    def finish_one(self) -> None:
        """Wait for the picture whose files have been on their way longest."""
        index, cost, future = self.writing.popleft()
        self.rows[index] = future.result()
        self.held -= cost


def write_table(out: Path, rows: list[Row], threshold: float) -> None:
    """par.csv and par.json."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(Row.__dataclass_fields__), lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    write_bytes(out / "par.csv", text.getvalue().encode("utf-8", "backslashreplace"))
    write_json(out / "par.json", {"threshold": threshold, "pictures": [asdict(row) for row in rows]})
