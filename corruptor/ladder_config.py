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

    last: str = ""
    """A structural kind, `duplicate`, `omit` or `fuse`, tried at last on samples of which no component has passed: what
    cannot be distorted can often be left out. "": no such try."""

    last_step: int = -1
    """Start step of the last try; -1: the floor."""

    def __post_init__(self) -> None:
        one_of("ladder.last", self.last, ("", *KINDS[1:]))
        within("ladder.last_step", self.last_step, -1, MOST_STRIDE)
        if self.last_step >= 0 and not self.last:
            raise ValueError(f"ladder.last_step is {self.last_step}, but ladder.last names no kind for it")
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

    def last_steps(self) -> tuple[int, ...]:
        """Start step of the last try, if there is one."""
        return ((self.last_step if self.last_step >= 0 else self.floor),) if self.last else ()
