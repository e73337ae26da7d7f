"""The truth: masks of a set of shards, by the names that predictions carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from detector.score.counts import ScoreError
from detector.score.read import PredictionFolder, some
from shards.errors import MissingInputError
from shards.masks import U8
from shards.reader import ShardReader

MATCHES = ("key", "uri")


class Truth:
    """Samples of one or more runs, named by key, or by the last part of the source's uri without its extension.

    Raises:
        MissingInputError, SchemaError: from the reader. ScoreError: no samples, or two of one name.
    """

    def __init__(self, where: Sequence[str], match: str = "key") -> None:
        if match not in MATCHES:
            raise ScoreError(f"match is {match!r}; allowed are {', '.join(MATCHES)}")
        self.reader = ShardReader(list(where), whole=True)
        if not len(self.reader):
            raise ScoreError(f"no sample in {some([str(path) for path in self.reader.paths])}; nothing to score")
        self.match = match
        self.names = self.names_by(match)
        seen: dict[str, int] = {}
        for index, name in enumerate(self.names):
            if name in seen:
                raise ScoreError(
                    f"two samples are named {name}: {self._place(seen[name])} and {self._place(index)}; "
                    + ("score the runs one by one" if match == "key" else "match by key instead")
                )
            seen[name] = index

    def names_by(self, match: str) -> list[str]:
        """The names that predictions of all samples carry where they go by key, or by uri."""
        indices = range(len(self.reader))
        if match == "key":
            return [self.reader.key(i) for i in indices]
        return [uri_name(self.reader.meta(i).source.uri) for i in indices]

    def mask(self, index: int) -> U8:
        """uint8 HW, 0 clean, 1 artifact, 255 ignore. Raises SchemaError."""
        return self.reader.mask(index)

    def _place(self, index: int) -> str:
        return f"{self.reader.key(index)} in {self.reader.path(index)}"


def uri_name(uri: str) -> str:
    """File name of a uri without folder and extension: "set/a/b.jpg" -> "b"."""
    return PurePosixPath(uri).stem


@dataclass(frozen=True)
class Matched:
    """Which truth samples have a prediction from every training seed."""

    indices: list[int]
    """Samples to score, in the order of the truth."""
    missing: list[str]
    """Truth names without a prediction from some seed."""
    extra: list[str]
    """Files that belong to no truth sample."""


def match_predictions(truth: Truth, folders: Sequence[PredictionFolder], allow_missing: bool) -> Matched:
    """Pair names. Raises MissingInputError where predictions are missing and that is not allowed, or all are."""
    complete = set.intersection(*(set(folder.files) for folder in folders))
    names = set(truth.names)
    indices = [i for i, name in enumerate(truth.names) if name in complete]
    missing = [name for name in truth.names if name not in complete]
    extra = [name for folder in folders for name in folder.others]
    extra += [path.name for folder in folders for name, path in folder.files.items() if name not in names]
    if missing and (not allow_missing or not indices):
        lacking = next(folder for folder in folders if missing[0] not in folder.files)
        hint = f"; {len(extra)} files there match no sample, such as {extra[0]}" if extra else ""
        other = next((match for match in MATCHES if match != truth.match), "")
        fitting = sum(name in complete for name in truth.names_by(other)) if not indices else 0
        if fitting:
            raise MissingInputError(
                f"no file in {lacking.root} is named by the samples' {truth.match}, but {fitting} are "
                f"named by their {other}: score with --match {other}"
            )
        way_out = "predict them" if not indices else "predict them, or leave them out with --allow-missing"
        if not indices and extra:
            way_out = "name the files by the samples' keys (or, with --match uri, by their pictures), or predict them"
        raise MissingInputError(
            f"{len(missing)} of {len(names)} truth samples have no prediction, the first is {missing[0]} "
            f"in {lacking.root}{hint}; {way_out}"
        )
    return Matched(indices, missing, extra)


def check_soft_truth(folder: PredictionFolder, truth: Truth, indices: Sequence[int]) -> None:
    """Raise MissingInputError unless every scored sample has a soft truth map."""
    lacking = [truth.names[i] for i in indices if truth.names[i] not in folder.files]
    if lacking:
        raise MissingInputError(
            f"{len(lacking)} of {len(indices)} samples have no truth heat map in {folder.root}, first {lacking[0]}"
        )


def truth_summary(artifact: np.ndarray, valid: np.ndarray, ignored: np.ndarray) -> dict[str, int]:
    """Integer counts of images and pixels, from int64 [N] arrays."""
    return {
        "images": len(valid),
        "artifact_images": int(np.count_nonzero(artifact)),
        "clean_images": int(np.count_nonzero((artifact == 0) & (valid > 0))),
        "fully_ignored_images": int(np.count_nonzero(valid == 0)),
        "pixels": int(valid.sum() + ignored.sum()),
        "artifact_pixels": int(artifact.sum()),
        "ignored_pixels": int(ignored.sum()),
    }
