"""A grid from its claim of OUT to the last stage: what is ready is begun, what failed is told, the others go on.

OUT/grid.json   the grid; another one in the same folder is refused
OUT/stages/     products of stages by name, kept (ablation/stages.py)
OUT/logs/       what processes printed
OUT/progress.jsonl   how far it is, for `blemish status`
OUT/decoded/    pictures that trainings share, while they are under way (shards/decoded.py)
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ablation.cluster import Begin, ClusterSlots
from ablation.cost import Cost
from ablation.grid import Grid
from ablation.plan import Plan
from ablation.processes import Outcome, Slots
from ablation.work import Task, finished, perform, shares, tasks_of
from corruptor.line.cost import readable_hours
from shards.build import plain
from shards.claims import Claim
from shards.run_log import Work

GRID, STAGES, LOGS = "grid.json", "stages", "logs"


def claim(grid: Grid, out: Path) -> Claim:
    """OUT as the folder of this grid; another grid, other files or another process there are refused."""
    return Claim(out, GRID, plain(grid), "grid")


@dataclass
class Runner:
    """Does the tasks of a plan."""

    plan: Plan
    out: Path
    processes: int
    costs: dict[str, Cost]
    crew: Begin
    """What does the tasks."""
    failed: dict[str, str] = field(default_factory=dict)
    """Stage -> what went wrong, in one line."""
    _done: set[str] = field(default_factory=set)
    _left: list[Task] = field(default_factory=list)
    _inherited: set[str] = field(default_factory=set)
    """Failed because something before them did."""
    _broken: dict[tuple[str, ...], str] = field(default_factory=dict)
    _began: dict[Task, float] = field(default_factory=dict)
    _slots: Slots | ClusterSlots | None = None

    def __post_init__(self) -> None:
        done = sum(finished(self.plan, self.stages, stage) for stage in self.plan.stages.values())
        self._work = Work("ablation", "stage", len(self.plan.stages), done)

    @property
    def stages(self) -> Path:
        return self.out / STAGES

    def run(self) -> dict[str, str]:
        """Do everything; returns what failed. A second call tries that again."""
        self._done = {s.name for s in self.plan.stages.values() if finished(self.plan, self.stages, s)}
        self._left = tasks_of(self.plan, self.stages, self.processes)
        if self._done:
            print(f"{len(self._done)} of {len(self.plan.stages)} stages were done before", flush=True)
        work = partial(_perform, self.plan, self.stages)
        slots = self._slots = self.crew(work, self.out / LOGS)
        try:
            while self._left or slots.running:
                if self._begin_next(slots):
                    continue
                assert slots.running or not self._left, "tasks wait for each other"
                for task, outcome in slots.finished() if slots.running else ():
                    self._end(task, outcome, slots)
        finally:
            slots.stop()
        return self.failed

    def facts(self) -> dict[str, Any]:
        """What a line of OUT/progress.jsonl holds (shards/run_log.py); called from the log's thread."""
        self._work.done = len(self._done) + len(self.failed)
        running = [one.task.title for one in self._slots.running.copy()] if self._slots is not None else []
        failed = [f"{len(self.failed)} failed"] if self.failed else []
        self._work.notes = ", ".join([*failed, *(f"at work: {title}" for title in running)])
        return self._work.facts()

    def _begin_next(self, slots: Slots | ClusterSlots) -> bool:
        """Begin a task that is ready, where there is room; give up those that wait for what failed."""
        for task in list(self._left):
            lost = next((need for need in task.needs if need in self.failed), None)
            if lost is not None:
                self._left.remove(task)
                told = self.failed[lost] if lost in self._inherited else f"{self._title(lost)}: {self.failed[lost]}"
                self._inherited.update(task.stages)
                self._fail(task, told)
        ready = next((task for task in self._left if self._done.issuperset(task.needs)), None)
        if ready is None or not slots.has_room():
            return False
        self._left.remove(ready)
        self._began[ready] = time.monotonic()
        outcome = slots.begin(ready, f"{ready.stages[0]}-{ready.rank}")
        if outcome is not None:
            self._end(ready, outcome, slots)
        return True

    def _end(self, task: Task, outcome: Outcome, slots: Slots | ClusterSlots) -> None:
        """Note how a task ended."""
        if outcome:
            self._broken.setdefault(task.group, outcome)
            self._left = [one for one in self._left if one.group != task.group]
        if any(one.task.group == task.group for one in slots.running):
            return
        if task.group in self._broken:
            self._settle(task)
            return
        if any(one.group == task.group for one in self._left):
            return
        for name in task.stages:
            if finished(self.plan, self.stages, self.plan.stages[name]):
                self._done.add(name)
            else:
                self.failed[name] = "its shards were not all made; run the same command again"
        self._tell(task)

    def _settle(self, task: Task) -> None:
        """Of runs that were made together one has failed: make each alone, so that only the culprit is lost."""
        outcome = self._broken.pop(task.group)
        names = [name for name in task.stages if not finished(self.plan, self.stages, self.plan.stages[name])]
        self._done.update(set(task.stages) - set(names))
        if len(task.stages) == 1:
            self._fail(task, outcome)
            return
        print(f"together they fail ({outcome}); now one by one", flush=True)
        alone = [one for name in names for one in shares([self.plan.stages[name]], task.num_ranks)]
        self._left = alone + self._left

    def _fail(self, task: Task, outcome: Outcome) -> None:
        for name in task.stages:
            if name not in self.failed:
                self.failed[name] = outcome
                print(f"FAILED {self._title(name)}: {outcome}", flush=True)

    def _title(self, name: str) -> str:
        return self.plan.stages[name].title

    def _tell(self, task: Task) -> None:
        """A line of progress."""
        settled = len(self._done) + len(self.failed)
        gone = self._done | set(self.failed)
        left = sum(cost.seconds for name, cost in self.costs.items() if name not in gone) / self.processes
        took = time.monotonic() - self._began[task]
        soon = f"; about {readable_hours(left / 3600)} left" if left else ""
        print(f"[{settled}/{len(self.plan.stages)}] {task.title}: {took:.0f} s{soon}", flush=True)


def _perform(plan: Plan, stages: Path, task: Task) -> None:
    perform(task, plan, stages)
