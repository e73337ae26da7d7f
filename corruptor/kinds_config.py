"""Options of structural kinds of damage: what, besides fresh noise, is put in place of a region."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from corruptor.checks import within

KINDS = ("distort", "duplicate", "omit", "fuse")


@dataclass(frozen=True)
class KindsConfig:
    """By which shares each sample's kind is drawn; they need not add up to one. A kind is a sample's, written into its
    JSON as corruption.kind."""

    distort: float = 1.0
    """The region's own content under fresh noise: the method as it is without kinds."""

    duplicate: float = 0.0
    """The region's content a second time, at a free place beside it; the mask moves there. Where there is no room the
    sample is `distort`."""

    omit: float = 0.0
    """The region filled in from its surroundings, and resampled without the words of the prompt that name it."""

    fuse: float = 0.0
    """The region's content blended with that half its size beside it."""

    start_step: int = -1
    """Start step of all kinds but `distort`, 0 = most noise: late enough for their content to be seen; -1: that of the
    injection."""

    def __post_init__(self) -> None:
        for name, share in self.shares().items():
            within(f"injection.kinds.{name}", share, 0.0, 1e6)
        if not any(self.shares().values()):
            raise ValueError("injection.kinds has no share above 0; give at least one kind one")
        within("injection.kinds.start_step", self.start_step, -1, 1000)

    def shares(self) -> dict[str, float]:
        """Kind -> share, in the order of KINDS."""
        told = asdict(self)
        return {name: told[name] for name in KINDS}

    @classmethod
    def only(cls, kind: str) -> KindsConfig:
        """One kind for every sample."""
        distort, duplicate, omit, fuse = (float(name == kind) for name in KINDS)
        return cls(distort=distort, duplicate=duplicate, omit=omit, fuse=fuse)
