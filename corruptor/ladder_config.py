"""Options of the ladder: how often, and how strongly, a region that did not break is injected again."""

from __future__ import annotations

from dataclasses import dataclass

from corruptor.checks import one_of, within
from corruptor.kinds_config import KINDS

UNTIL = ("every", "one")
MOST_TRIES = 100
MOST_STRIDE = 1000


@dataclass(frozen=True)
class LadderConfig:
    """Tries of rising strength: components that verification does not pass are injected again, with fresh noise."""

    floor: int
    """Strongest start step, 0 = most noise; the first try is at injection.start_step. One inversion, to the floor,
    serves all tries."""

    stride: int = 5
    """Grid steps from one strength to the next; the last is cut to the floor."""

    tries: int = 0
    """Most tries of a component, 1 to 100; 0: one at each strength. What is left after the floor is tried there
    again."""

    until: str = "every"
    """`every`: go on while any component of a picture has not passed; `one`: only until one has, which takes fewer
    passes and leaves fewer regions in a picture."""

    last: tuple[str, ...] = ()
    """Structural kinds, `duplicate`, `omit` or `fuse`, tried at last, one after the other, on samples of which no
    component has passed: what cannot be distorted can often be left out."""

    last_steps: tuple[int, ...] = ()
    """Start step of each of these; (): the floor for all."""

    def __post_init__(self) -> None:
        for kind in self.last:
            one_of("ladder.last", kind, KINDS[1:])
        for step in self.last_steps:
            within("ladder.last_steps", step, 0, MOST_STRIDE)
        if len(self.last_steps) not in (0, len(self.last)):
            raise ValueError(
                f"ladder.last_steps has {len(self.last_steps)} steps for {len(self.last)} kinds in ladder.last; needed "
                f"is one each, or none for the floor"
            )
        within("ladder.floor", self.floor, 0, MOST_STRIDE)
        within("ladder.stride", self.stride, 1, MOST_STRIDE)
        within("ladder.tries", self.tries, 0, MOST_TRIES)
        one_of("ladder.until", self.until, UNTIL)

    def steps(self, start_step: int) -> tuple[int, ...]:
        """Start step of each try, from weakest to strongest: never rising.

        Raises ValueError where the floor is weaker than the start.
        """
        if self.floor > start_step:
            raise ValueError(
                f"ladder.floor is step {self.floor}, weaker than the first try at step {start_step} (step 0 = most "
                f"noise); it may be 0 to {start_step}"
            )
        found = [*range(start_step, self.floor, -self.stride), self.floor][:MOST_TRIES]
        if self.tries:
            found += [self.floor] * (self.tries - len(found))
            found = found[: self.tries]
        return tuple(found)

    def last_tries(self) -> tuple[tuple[str, int], ...]:
        """(kind, start step) of each try after the ladder's own."""
        return tuple(zip(self.last, self.last_steps or (self.floor,) * len(self.last), strict=True))

    def all_steps(self, start_step: int) -> tuple[int, ...]:
        """Start step of every try that a sample may have. Raises ValueError as `steps` does."""
        return self.steps(start_step) + tuple(step for _, step in self.last_tries())
