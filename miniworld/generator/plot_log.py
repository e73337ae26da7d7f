"""The training log as a picture."""

from __future__ import annotations

import json
from pathlib import Path

from shards.errors import MissingInputError

LOGS = {"vae.jsonl": "autoencoder", "unet.jsonl": "UNet and text encoder"}


def plot_losses(logs: Path, out: Path) -> None:
    """Draw the loss against the iteration for every stage whose log (JSON lines) lies in a folder.

    Raises MissingInputError (a FileNotFoundError) when there is none.
    """
    found = [(name, title) for name, title in LOGS.items() if (logs / name).exists()]
    if not found:
        raise MissingInputError(f"{logs} holds no training log ({' or '.join(LOGS)}): train first")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(found), 3.2), layout="constrained")
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, (name, title) in zip(axes, found, strict=True):
        entries = [json.loads(line) for line in (logs / name).read_text(encoding="utf-8").splitlines()]
        axis.plot([e["step"] for e in entries], [e["loss"] for e in entries], linewidth=1)
        axis.set(title=title, xlabel="iteration", ylabel="loss", yscale="log")
        axis.grid(alpha=0.3)
    figure.savefig(out, dpi=110)
