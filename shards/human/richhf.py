"""RichHF-18k: human artifact maps to binary labels, joined with their pictures.

Reads train/dev/test.tfrecord (pictures then come from Pick-a-Pic v1 tables, --pictures) or the Parquet tables of the
joined mirror. Keeps what the rule of Menn et al. 2025 keeps: at least three annotators, a pixel is artifact if two of
three marked it. Writes OUT/train, OUT/dev, OUT/test as runs, OUT/excluded.jsonl with a reason for every record left
out, and OUT/report.json with the counts beside the paper's.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import ConfigError, MissingInputError
from shards.files import write_json
from shards.human.importing import (
    LIMITS,
    add_common,
    check_common,
    count_table,
    fill,
    labelled,
    num_shards,
    stretch,
    write_excluded,
)
from shards.human.picture_store import PictureStore, gather, safe
from shards.human.richhf_labels import (
    NOBODY,
    PAPER_ANNOTATORS,
    PAPER_KEPT,
    RULES,
    Annotators,
    GreyMap,
    MapError,
    Rule,
    ScoreScale,
    binary_label,
    decode_map,
    estimate,
    numbers_from_levels,
    numbers_from_scores,
    score_scale,
)
from shards.human.richhf_records import EXPECTED, SPLITS, JoinedSet, Record, RecordSet, find, open_sets
from shards.progress import GOES_ON, Progress
from shards.schema import Sample, SourceMeta
from shards.source import Reject, fingerprint
from shards.sources.file_source import MAX_CAPTION
from shards.sources.pictures import read_picture
from shards.writer import RunInfo, RunWriter

STORE = ".pictures"
EXAMPLE = "blemish import richhf richhf-18k --pictures pickapic_v1/data --out out/richhf"


@dataclass(frozen=True)
class Verdict:
    """What the rule says of one record: kept, or a reject."""

    reject: Reject | None
    annotators: Annotators = NOBODY
    form: str = ""
    """How the artifact map was stored."""
    uid: str = ""


@dataclass(frozen=True)
class Choices:
    """What the labels depend on besides the records."""

    rule: Rule
    undecided: str
    scale: ScoreScale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `blemish import richhf`."""
    parser.add_argument(
        "records", type=Path, metavar="RECORDS", help="folder of *.tfrecord, or of the mirror's *.parquet"
    )
    parser.add_argument("--pictures", type=Path, help="folder of Pick-a-Pic v1 *.parquet; not needed for the mirror")
    parser.add_argument("--store", type=Path, help="where found pictures are kept meanwhile (default OUT/.pictures)")
    parser.add_argument("--rule", choices=RULES, default="two_thirds", help="marks a pixel needs (default two_thirds)")
    parser.add_argument(
        "--undecided",
        choices=("exclude", "keep"),
        default="exclude",
        help="records whose number of annotators cannot be told (default exclude; keep takes it to be three)",
    )
    add_common(parser, EXAMPLE)


def run(args: argparse.Namespace) -> int:
    """Judge every record, find the pictures of those kept, write the shards, report."""
    check_common(args)
    sets = open_sets(args.records)
    choices = Choices(args.rule, args.undecided, score_scale(s for one in sets for s in one.scores()))
    tables = picture_tables(args, sets)
    runs = {one.split: open_run(args, one, choices, tables) for one in sets}
    verdicts = judge_all(sets, choices)
    store = PictureStore(args.store or args.out / STORE, wanted(verdicts) if tables else frozenset())
    if tables and any(run.todo() for run in runs.values()):
        with Progress(sum(path.stat().st_size for path in tables), "B", "pictures", resumes=GOES_ON) as bar:
            gather(tables, store, bar.update)
    with Progress(sum(len(one) for one in sets), "record", "writing", resumes=GOES_ON) as bar:
        for one in sets:
            maker = Maker(one, verdicts[one.split], choices, store if tables else None)
            done = len(one) - sum(shard_items(len(one), args.per_shard, shard) for shard in runs[one.split].todo())
            bar.update(done)
            fill(runs[one.split], len(one), args.per_shard, maker.make, bar.update)
    totals = {split: run.finalise() for split, run in runs.items()}
    excluded = write_excluded(args.out, [({"split": split}, run) for split, run in runs.items()])
    report = {
        "score_scale": choices.scale,
        "splits": {s.split: count(verdicts[s.split], totals[s.split]) for s in sets},
    }
    write_json(args.out / "report.json", report)
    print(summary(report, args.out, excluded))
    return 0


def shard_items(items: int, per_shard: int, shard: int) -> int:
    return min(items, (shard + 1) * per_shard) - shard * per_shard


def picture_tables(args: argparse.Namespace, sets: list[RecordSet]) -> list[Path]:
    """The tables to search; none for the mirror. Raises ConfigError, MissingInputError."""
    if all(isinstance(one, JoinedSet) for one in sets):
        if args.pictures is not None:
            raise ConfigError("--pictures is for *.tfrecord; the tables of the mirror hold their pictures")
        return []
    if args.pictures is None:
        raise ConfigError("--pictures is missing: the *.tfrecord files hold none; name the folder of Pick-a-Pic tables")
    tables = find(args.pictures, "*.parquet") if args.pictures.exists() else []
    if not tables:
        raise MissingInputError(f"{args.pictures} holds no *.parquet; name the folder of Pick-a-Pic v1")
    return tables


def open_run(args: argparse.Namespace, one: RecordSet, choices: Choices, tables: list[Path]) -> RunWriter:
    """The run of one split, new or resumed. Raises ResumeError if it was made of something else."""
    config = {
        "importer": "richhf",
        "rule": choices.rule,
        "undecided": choices.undecided,
        "score_scale": choices.scale,
        "per_shard": args.per_shard,
    }
    source: dict[str, Any] = {"name": f"richhf-18k-{one.split}", **one.identity()}
    if tables:
        listing = [f"{path.stat().st_size} {path.name}" for path in tables]
        source["pictures"] = {"tables": len(tables), "fingerprint": fingerprint(listing)}
    info = RunInfo(config, source, num_shards(len(one), args.per_shard), f"RichHF-18k {one.split}", args.licence)
    return RunWriter(args.out / one.split, info, args.codec)


def judge_all(sets: list[RecordSet], choices: Choices) -> dict[str, list[Verdict]]:
    """Split -> a verdict for each record, in order."""
    found: dict[str, list[Verdict]] = {}
    with Progress(sum(len(one) for one in sets), "record", "judging", resumes=GOES_ON) as bar:
        for one in sets:
            found[one.split] = []
            for index in range(len(one)):
                record = one.labels(index)
                verdict = judge(record, one.split, choices)
                found[one.split].append(verdict)
                bar.update(1, int(verdict.reject is not None))
    return found


def judge(record: Record | Reject, split: str, choices: Choices) -> Verdict:
    """Apply the first half of the rule: are there three annotators?"""
    if isinstance(record, Reject):
        return Verdict(record)
    uri = f"{split}/{record.filename}"
    if not safe(record.uid):
        return Verdict(Reject(uri, "corrupt_record", f"{record.uid[:120]!r} is no uid of Pick-a-Pic"))
    try:
        grey_map = decode_map(record.artifact_map)
    except MapError as error:
        missing = record.artifact_map is None
        return Verdict(Reject(uri, "mask_missing" if missing else "mask_values", f"artifact_map: {error}"))
    told = annotators(record, grey_map, choices.scale)
    reject = None
    if told.number == 0 and choices.undecided == "exclude":
        reject = Reject(uri, "annotators_unknown", told.disagreement or "map and scores fit any number of annotators")
    elif 0 < told.number < PAPER_ANNOTATORS:
        reject = Reject(uri, "few_annotators", f"{told.number} by {told.basis}")
    return Verdict(reject, told, grey_map.form, record.uid)


def annotators(record: Record, grey_map: GreyMap, scale: ScoreScale) -> Annotators:
    """How many people made this record's label."""
    levels = numbers_from_levels(grey_map.grey)
    try:
        other = numbers_from_levels(decode_map(record.misalignment_map).grey)
    except MapError:
        other = frozenset({1})  # says nothing
    return estimate(levels, other, numbers_from_scores(record.scores.values(), scale))


def wanted(verdicts: dict[str, list[Verdict]]) -> frozenset[str]:
    """The uids of the records that the rule keeps."""
    return frozenset(v.uid for found in verdicts.values() for v in found if v.reject is None)


@dataclass(frozen=True)
class Maker:
    """Makes the samples of one split."""

    records: RecordSet
    verdicts: list[Verdict]
    choices: Choices
    store: PictureStore | None
    """None where the records hold their pictures."""

    def make(self, index: int) -> Sample | Reject:
        """Record `index` as a sample, or why it is none."""
        verdict = self.verdicts[index]
        if verdict.reject is not None:
            return verdict.reject
        record = self.records.record(index)
        if isinstance(record, Reject):
            return record
        uri = f"{self.records.split}/{record.filename}"
        found = self.picture(record)
        if found is None:
            return Reject(uri, "picture_missing", f"uid {record.uid} is in no table that was given")
        data, caption = found
        image = read_picture(data, uri, LIMITS)
        if isinstance(image, Reject):
            return image
        grey = decode_map(record.artifact_map).grey
        label = binary_label(grey, verdict.annotators.number or PAPER_ANNOTATORS, self.choices.rule)
        source = SourceMeta("richhf-18k", uri, hashlib.sha256(data).hexdigest(), caption=caption[:MAX_CAPTION])
        mask = stretch(label, (image.shape[0], image.shape[1]))
        facts = self.facts(record, verdict, grey)
        if len(caption) > MAX_CAPTION:
            facts["caption_characters"] = len(caption)
        return labelled(image, mask, source, "human", {"rule": self.choices.rule}, facts)

    def picture(self, record: Record) -> tuple[bytes, str] | None:
        """(bytes, caption) of a record's picture, or None."""
        if self.store is not None:
            return self.store.get(record.uid)
        return (record.image, record.caption) if record.image else None

    def facts(self, record: Record, verdict: Verdict, grey: Any) -> dict[str, Any]:
        """What a sample's JSON tells of its annotation."""
        return {
            "split": self.records.split,
            "annotators": verdict.annotators.number,
            "annotators_by": verdict.annotators.basis,
            "contradiction": verdict.annotators.disagreement,
            "map": f"{verdict.form} {grey.shape[1]}x{grey.shape[0]}",
            "scores": {name: score for name, score in record.scores.items() if math.isfinite(score)},
            "score_scale": self.choices.scale,
            "token_labels": record.tokens,
        }


def count(verdicts: list[Verdict], totals: dict[str, Any]) -> dict[str, Any]:
    """The counts of one split, from the verdicts and from what was written."""
    read = [v for v in verdicts if v.form]
    return {
        "records": len(verdicts),
        "annotators": dict(sorted(Counter(str(v.annotators.number or "unknown") for v in read).items())),
        "annotators_by": dict(Counter(v.annotators.basis for v in read).most_common()),
        "contradictions": sum(bool(v.annotators.disagreement) for v in read),
        "maps": dict(Counter(v.form for v in read).most_common()),
        "kept_by_rule": sum(v.reject is None for v in verdicts),
        "samples": totals["samples"],
        "artifact": totals["artifact"],
        "clean": totals["clean"],
        "rejects": totals["rejects"],
    }


def summary(report: dict[str, Any], out: Path, excluded: int) -> str:
    """What was read and kept, beside the paper's counts."""
    heads = ["split", "records", "released", "< 3", "3", "> 3", "unknown", "kept by rule", "paper", "samples", "clean"]
    rows = []
    for split, one in report["splits"].items():
        people = {int(n): c for n, c in one["annotators"].items() if n != "unknown"}
        fewer, exactly = sum(c for n, c in people.items() if n < PAPER_ANNOTATORS), people.get(PAPER_ANNOTATORS, 0)
        groups = [fewer, exactly, sum(people.values()) - fewer - exactly]
        released, paper = EXPECTED.get(split, "-"), PAPER_KEPT.get(split, "-")
        unknown, kept = one["annotators"].get("unknown", 0), one["kept_by_rule"]
        rows.append([split, one["records"], released, *groups, unknown, kept, paper, one["samples"], one["clean"]])
    lines = [count_table(heads, rows), f"scores on the scale: {report['score_scale']}"]
    lines += [f"no {split} file" for split in SPLITS if split not in report["splits"]]
    for split, one in report["splits"].items():
        lines.append(f"{split}: maps {text(one['maps'])}; annotators told by {text(one['annotators_by'])}")
        lines.append(f"{split}: contradictions {one['contradictions']}; left out: {text(one['rejects']) or 'none'}")
    lines.append(f"{excluded} records left out, each with its reason in {out / 'excluded.jsonl'}")
    return "\n".join(lines)


def text(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())
