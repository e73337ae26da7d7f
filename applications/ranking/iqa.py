"""Scores of other measures of quality through `pyiqa`, an optional extra whose weights are the user's to fetch."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from applications.tables import TableError
from detector.inputs import open_inputs
from shards.files import write_bytes
from shards.progress import progress
from shards.source import Reject


def score(where: str, metric: str, out: Path, device: str = "auto") -> str:
    """Score every picture by a metric of `pyiqa` that needs no reference, such as hyperiqa or musiq.

    Writes a CSV with the columns key and score; returns a line. Raises TableError without the library or for a metric
    that it does not have, and what `detector.inputs.open_inputs` raises.
    """
    try:
        import pyiqa
    except ImportError as error:
        raise TableError("pyiqa is not installed; pip install 'blemish[iqa]', or bring scores as CSV") from error
    import torch

    from detector.heat import pick_device

    inputs = open_inputs(where)
    try:
        measure = pyiqa.create_metric(metric, device=pick_device(device))
    except Exception as error:  # the library raises many types for a name, a file or a network that is not there
        raise TableError(f"pyiqa gives no metric {metric!r} ({' '.join(str(error).split())[:200]})") from error
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("key", "score"))
    skipped = 0
    for index in progress(range(len(inputs)), "picture"):
        stored = inputs.read(index)
        image = stored if isinstance(stored, Reject) else inputs.decode(stored)
        if isinstance(image, Reject):
            skipped += 1
            continue
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            lines.writerow((inputs.keys[index], f"{float(measure(pixels)):.6g}"))
    write_bytes(out, text.getvalue().encode("utf-8", "backslashreplace"))
    better = "less" if measure.lower_better else "more"
    lost = f", {skipped} that are no pictures left out" if skipped else ""
    return f"{len(inputs) - skipped} pictures scored by {metric} ({better} is better) in {out}{lost}"
