"""What the tables will cost, before anything is trained or looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.cost import CORE_TFLOPS, find_machine
from corruptor.line.cost import UTILISATION, readable_hours
from detector.config import load_config
from experiments.msr.plan import Arm, LabelledSet, MsrConfig, missing, trained_as
from shards.config import find_config

GFLOPS = {
    "msr_swin_b": 413.5,
    "msr_r101": 266.1,
    "msr_maskformer_r101": 211.0,
    "pal_unified": 471.2,
    "pal_specialist": 471.2,
    "msr_mini": 0.774,
    "msr_mini_outlines": 0.774,
    "swin_mini": 0.234,
}
"""Of one picture at the size that a config trains at, counted as the network runs (`cost.cost_of`)."""
STEP = 3
"""Of a training step in forward passes of its batch; an adaptation, whose backbone is frozen, takes fewer."""


@dataclass
class Price:
    """Sums over the tables."""

    trainings: int = 0
    looks: int = 0
    """Pictures looked at, for validation too."""
    tflop: float = 0.0

    def train(self, config: MsrConfig, arm: Arm, times: int) -> None:
        path = find_config(arm.config or config.adaptation)
        facts = load_config(path, (), arm.iterations or None)
        iterations, batch = facts.train_cfg.max_iters, facts.train_dataloader.batch_size
        checks = iterations // max(1, facts.train_cfg.val_interval) + 1
        looks = checks * count_of(LabelledSet("validation", config.validation)) if config.validation else 0
        self.trainings += times
        self.looks += times * looks
        self.tflop += times * (STEP * iterations * batch + looks) * gflops(path) / 1000

    def look(self, config: MsrConfig, arm: Arm, sets: Sequence[LabelledSet], times: int) -> None:
        looks = times * sum(min(config.limit or 1 << 62, count_of(one)) for one in sets)
        self.looks += looks
        self.tflop += looks * gflops(find_config(arm.config or config.adaptation)) / 1000


def gflops(path: Path) -> float:
    return GFLOPS.get(path.stem, GFLOPS["pal_unified"])


def count_of(one: LabelledSet) -> int:
    """Its pictures; what the config says where it is not here."""
    from detector.inputs import open_inputs

    return len(open_inputs(one.shards)) if Path(one.shards).exists() else one.count


def price_of(config: MsrConfig, tables: Sequence[str]) -> Price:
    """Of the tables; an arm that several of them show is trained once."""
    price, seeds = Price(), len(config.seeds)
    zero = [arm for arm in config.arms if not arm.shards]
    varied = list(config.margin_arms().values()) if "margins" in tables else []
    varied += list(config.ratio_arms(100).values()) if "ratio" in tables else []
    shown = [arm for arm in config.arms if arm.shards] if {"arms", "cost"} & set(tables) else [config.main_arm]
    for arm in [*shown, *varied]:
        for one in trained_as(arm):
            price.train(config, one, seeds)
            price.look(config, one, config.tests, seeds)
    for arm in zero:
        price.look(config, arm, config.tests, 1)
    if "real" in tables:
        for arm in (one for one in config.arms if not one.is_specialist):
            price.look(config, arm, config.real, seeds if arm.shards else 1)
    return price


def summary(config: MsrConfig, tables: Sequence[str], gpu: str = "") -> str:
    """How many trainings and looks the tables take, on what, and what is missing. Raises ConfigError."""
    price, machine = price_of(config, tables), find_machine(gpu, 1)
    # Networks run in TF32 on a card, half its peak in half precision.
    rate = machine.card.half_tflops / 2 * UTILISATION if machine.card else CORE_TFLOPS
    hours = readable_hours(price.tflop / rate / 3600)
    seeds = len(config.seeds)
    lines = [
        f"{price.trainings // seeds} trainings x {seeds} seeds = {price.trainings} of them",
        f"{len(config.tests)} sets with artifacts and {len(config.real)} without, {price.looks:,} looks at a picture",
        f"at most {price.tflop / 1000:,.3g} PFLOP: about {hours} on {machine.name}, computed, not measured",
        *(f"missing: {one}" for one in missing(config)),
    ]
    return "\n".join(lines)
