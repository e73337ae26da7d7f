"""Ten-shot adaptation (PAL, section 3.2 and table 2): train a detector further on a few labelled pictures.

OUT/training/     the training, as `blemish detect train` has it
OUT/weights.safetensors, OUT/adapt.json, OUT/adapt.md      the result, and both detectors on both sets
OUT/run.json      what was asked for; the same command again goes on
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.claims import Claim
from shards.errors import ConfigError
from shards.files import hash_file, write_bytes, write_json
from shards.markdown import table

if TYPE_CHECKING:
    from detector.score.bootstrap import Estimate
    from detector.score.counts import Counts

TABLE = ("artifact_iou", "pixel_ap", "image_auroc_max", "fpr_clean")
JUDGED_BY = "artifact_iou"
BATCH = 32


@dataclass(frozen=True)
class Asked:
    """What is adapted to what."""

    weights: Path
    shots: str
    """Labelled pictures of the new generator to train on, ten in the paper."""
    new: str
    """Others of it to score on."""
    old: str
    """Pictures of the old generators, to see what is forgotten."""
    rehearse: str = ""
    """Others of the old generators to train on, as often as on the shots, so that less is forgotten."""
    config: str = "configs/detector/swin_mini.py"
    """Of the training; its network must be that of the weights."""
    iterations: int = 2000
    rate: float = 0.1
    """Learning rate / the config's."""
    threshold: float = 0.5
    most_loss: float = 0.05
    """Share of the artifact IoU on the old set that may be lost."""
    seed: int = 0
    device: str = "auto"
    resamples: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10:
            raise ConfigError(f"--rate is {self.rate:g}; allowed is above 0 and up to 10 times the config's")
        if not 0 < self.threshold < 1:
            raise ConfigError(f"--threshold is {self.threshold:g}; allowed is a number between 0 and 1")
        if not 0 <= self.most_loss <= 1:
            raise ConfigError(f"--most-loss is {self.most_loss:g}; allowed is a share from 0 to 1")
        if not 0 <= self.resamples <= 100_000:
            raise ConfigError(f"--bootstrap is {self.resamples}; allowed are 0 to 100000")


def adapt(asked: Asked, out: Path) -> tuple[bool, str]:
    """Train, score before and after, write what the module's head lists.

    Returns: whether no more than `most_loss` was forgotten, and the table in Markdown.
    Raises MissingInputError, ConfigError, SchemaError, DataError (such as shots without an artifact), CheckpointError
    (such as another network), ResumeError, OutputError.
    """
    from detector.score.api import compare, summarise
    from region_select.selector import find_weights

    weights = find_weights(asked.weights)
    identity = {**asdict(asked), "weights": hash_file(weights)}
    del identity["device"]
    if asked.rehearse:
        keep_apart(asked)
    else:
        del identity["rehearse"]  # adaptations from before it could be asked for are the same
    with Claim(out, "run.json", identity, "adaptation").held():
        trained = train_further(asked, weights, out / "training")
        rows: list[tuple[str, ...]] = []
        facts: dict[str, Any] = {}
        for name, where in (("new", asked.new), ("old", asked.old)):
            first, second = (count(path, where, asked) for path in (weights, trained))
            before, after = (summarise([one], asked.resamples) for one in (first, second))
            change = compare([second], [first], asked.resamples)
            rows += rows_of(name, before, after, change)
            facts[name] = {
                "before": plain_of(before),
                "after": plain_of(after),
                "difference": plain_of(change),
                "pictures": len(first.keys),
                "relative": relative(before, after),
            }
        loss = -(facts["old"]["relative"] or 0.0)
        holds = loss <= asked.most_loss
        heads = ("set", "score", "before (95%)", "after (95%)", "difference (95%)", "relative")
        told = f"forgotten on the old set: {loss:.1%} of the artifact IoU; allowed are {asked.most_loss:.0%}"
        text = f"{table(heads, rows, numbers=True)}\n\n{told}\n"
        write_bytes(out / "weights.safetensors", trained.read_bytes())
        write_json(out / "adapt.json", {"holds": holds, "loss": loss, **facts})
        write_bytes(out / "adapt.md", text.encode())
    return holds, text


def keep_apart(asked: Asked) -> None:
    """Raises ConfigError where pictures are rehearsed that tell what is forgotten; MissingInputError."""
    from shards.reader import find_shards

    both = set(map(str, find_shards(asked.rehearse))) & set(map(str, find_shards(asked.old)))
    if both:
        raise ConfigError(
            f"{len(both)} of the shards of --rehearse are among those of --old, which then tell nothing of what is "
            "forgotten; give others"
        )


def train_further(asked: Asked, weights: Path, out: Path) -> Path:
    """The weights of the training on the shots."""
    from detector.config import load_config, set_seed
    from detector.train import WEIGHTS, Job, train

    config = load_config(asked.config, (), asked.iterations)
    set_seed(config, asked.seed)
    config.initialise = {"source": str(weights), "part": "whole"}
    config.prior_samples = 0  # the classifiers know how frequent the classes are
    config.optim_wrapper.optimizer.lr *= asked.rate
    if asked.rehearse:
        config.train_dataloader.sampler.even = True
    train(Job(config, Path(asked.config).stem, out, (asked.shots, *filter(None, [asked.rehearse]))))
    return out / WEIGHTS


def count(weights: Path, where: str, asked: Asked) -> Counts:
    """What a detector gets right on labelled pictures."""
    from detector.heat import Detector
    from detector.score.api import Collector
    from shards.progress import progress
    from shards.reader import ShardReader

    reader, detector = ShardReader(where), Detector(weights, device=asked.device)
    collector = Collector(asked.threshold)
    for first in progress(range(0, len(reader), BATCH), "batch", leave=False):
        places = range(first, min(first + BATCH, len(reader)))
        heats = detector.heat([reader.image(place) for place in places])
        for place, heat in zip(places, heats, strict=True):
            collector.add(reader.key(place), reader.mask(place), heat)
    return collector.counts()


def relative(before: Mapping[str, Estimate], after: Mapping[str, Estimate]) -> float | None:
    """Change of the judging score as a share of what it was; None where it was 0 or is not defined."""
    first, second = before[JUDGED_BY].value, after[JUDGED_BY].value
    return (second - first) / first if first and second is not None else None


def rows_of(
    name: str, before: Mapping[str, Estimate], after: Mapping[str, Estimate], change: Mapping[str, Estimate]
) -> list[tuple[str, ...]]:
    """Rows of the table for one set."""
    rows = []
    for key in TABLE:
        share = relative(before, after) if key == JUDGED_BY else None
        cells = tuple(cell(one[key]) for one in (before, after, change))
        rows.append((name, key, *cells, "" if share is None else f"{share:+.1%}"))
    return rows


def cell(one: Estimate) -> str:
    """Percent with its interval."""
    if one.value is None:
        return "n/a"
    spread = f" ({100 * one.low:.1f} to {100 * one.high:.1f})" if one.low is not None and one.high is not None else ""
    return f"{100 * one.value:.1f}{spread}"


def plain_of(found: Mapping[str, Estimate]) -> dict[str, Any]:
    return {key: {"value": one.value, "low": one.low, "high": one.high} for key, one in found.items()}
