"""What `blemish rank` writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from applications.captions import caption_of
from applications.ranking.agreement import agreement, read_pairs
from applications.ranking.choose import at_percentiles, by_prompt
from applications.ranking.sheets import row_sheet, webp
from applications.seen import open_seen
from applications.tables import TableError, read_csv, read_scores
from shards.files import make_folder, write_bytes, write_json
from shards.images import encode_image
from shards.markdown import table

SHOWN_PROMPTS, SHOWN_EACH = 40, 8


def percentiles(folder: Path, out: Path, each: int = 4) -> str:
    """OUT/percentiles.webp. Returns a line. Raises UserError."""
    if not 1 <= each <= 32:
        raise TableError(f"--each is {each}; allowed are 1 to 32 pictures a percentile")
    seen = open_seen(folder)
    rows = [(f"percentile {number}", members) for number, members in at_percentiles(seen.rows, each)]
    make_folder(out)
    write_bytes(out / "percentiles.webp", webp(row_sheet(rows, seen.picture)))
    least, most = seen.rows[0].par, seen.rows[-1].par
    return f"{len(seen.rows)} pictures ranked by PAR, {least:.2%} to {most:.2%}; {out}/percentiles.webp"


def best(folder: Path, out: Path, prompts: Path | None = None) -> str:
    """OUT/best.csv, OUT/best.webp, and the best picture of each prompt as OUT/best/KEY.png. Raises UserError.

    prompts: a CSV with the columns key and prompt; None: captions of samples, or the .txt beside each picture.
    """
    seen = open_seen(folder)
    if prompts is None:
        said = {row.key: caption_of(seen.inputs, seen.places[row.key]) for row in seen.rows if row.key in seen.places}
    else:
        names = seen.names()
        rows = enumerate(read_csv(prompts, ("key", "prompt")), 1)
        said = {names.find(row["key"], f"{prompts}, row {number}"): row["prompt"] for number, row in rows}
    groups = by_prompt(seen.rows, said)
    if not groups:
        raise TableError(f"no prompt of {folder} has two pictures; name a CSV with key and prompt by --prompts")
    make_folder(out / "best")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("prompt", "rank", "key", "par", "uri"))
    for prompt, members in groups.items():
        lines.writerows((prompt, rank, row.key, row.par, row.uri) for rank, row in enumerate(members, 1))
        write_bytes(out / "best" / f"{members[0].key}.png", encode_image(seen.picture(members[0].key), "png"))
    write_bytes(out / "best.csv", text.getvalue().encode("utf-8", "backslashreplace"))
    shown = [(prompt, members[:SHOWN_EACH]) for prompt, members in list(groups.items())[:SHOWN_PROMPTS]]
    write_bytes(out / "best.webp", webp(row_sheet(shown, seen.picture)))
    first = sum(members[0].par for members in groups.values()) / len(groups)
    every = sum(sum(row.par for row in members) / len(members) for members in groups.values()) / len(groups)
    return f"{len(groups)} prompts with several pictures; mean PAR {every:.2%}, of the best {first:.2%}; {out}/best.csv"


def agree(
    folder: Path,
    pairs_file: Path,
    out: Path,
    higher: Sequence[tuple[str, Path]] = (),
    lower: Sequence[tuple[str, Path]] = (),
) -> str:
    """OUT/agreement.json and .md; returns the table. `higher`, `lower`: other scores, (name, CSV with key and score),
    of which more or less is better. Raises UserError."""
    seen = open_seen(folder)
    names = seen.names()
    pairs = read_pairs(pairs_file, names)
    ours = [
        ("PAR", {row.key: row.par for row in seen.rows}, True),
        ("mean heat", {row.key: row.mean for row in seen.rows}, True),
        ("largest heat", {row.key: row.max for row in seen.rows}, True),
    ]
    others = [(name, read_scores(path, names), False) for name, path in higher]
    others += [(name, read_scores(path, names), True) for name, path in lower]
    found = [agreement(name, pairs, scores, is_lower) for name, scores, is_lower in (*ours, *others)]
    rows = [("chance", "50.0%", "", "")]
    for one in found:
        low, high = one.found.low, one.found.high
        spread = f" ({low:.1%} to {high:.1%})" if low is not None and high is not None else ""
        rows.append((one.name, f"{one.found.value:.1%}{spread}", str(one.ties), str(one.pairs)))
    text = table(("score", "agreement", "ties of the score", "pairs"), rows, numbers=True)
    make_folder(out)
    write_json(out / "agreement.json", {"pairs": str(pairs_file.name), "scores": [asdict(one) for one in found]})
    write_bytes(out / "agreement.md", (text + "\n").encode())
    return text
