"""A region policy proposes, for each picture, the mask under which it will be damaged, or says that it found none.

Policies are found by name in `POLICIES`; the value is an import path, loaded when the policy is first asked for, so
that one that needs a network costs nothing to the others. A policy may not keep state between calls: what it proposes
for a picture depends on the picture and its generator alone, never on the batch.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from shards.build import BuildError, build, nearest, plain
from shards.errors import ConfigError
from shards.masks import U8
from shards.source import SourceItem, load_target


@dataclass(frozen=True)
class Selection:
    """What was proposed for one picture. `mask` is None where nothing was found: a recorded outcome, not an error."""

    mask: U8 | None
    """uint8 HW of the picture's size: 1 damage here, 0 leave alone, 255 ignore."""
    detail: str = ""
    """With no mask: why."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen, as plain JSON values (names of regions, drawn area); goes into the sample's JSON."""

    @property
    def outcome(self) -> str:
        """`ok` or `no_region`."""
        return "no_region" if self.mask is None else "ok"


class Policy(abc.ABC):
    """Base of all policies. `options` is an instance of the class's `Options`, a frozen dataclass of plain values."""

    Options: ClassVar[type]

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options

    @abc.abstractmethod
    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        """Propose a mask for each item.

        Args:
            items: pictures of one size, already brought to the model's size (a learned policy runs them as one batch).
            rngs: one generator an item; the only source of chance.
        """

    def digest(self) -> str:
        """What the policy depends on besides its options, such as the sha256 of weights; "" for nothing."""
        return ""


class ItemPolicy(Policy):
    """A policy that looks at one picture at a time."""

    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        return [self.propose(item, rng) for item, rng in zip(items, rngs, strict=True)]

    @abc.abstractmethod
    def propose(self, item: SourceItem, rng: np.random.Generator) -> Selection:
        """The proposal for one picture."""


def item_rng(seed: int, item: SourceItem) -> np.random.Generator:
    """A generator for a picture outside the line, which has its own (corruptor/line/plan.py)."""
    digest = hashlib.sha256(f"propose/{seed}/{item.sha256}/{item.occurrence}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


POLICIES: dict[str, str] = {
    "files": "region_select.files:FilesPolicy",
    "scene": "region_select.scene:ScenePolicy",
    "blobs": "region_select.blobs:BlobsPolicy",
    "learned": "region_select.learned:LearnedPolicy",
    "mix": "region_select.mix:MixPolicy",
}
"""Policy name -> "module:class", a subclass of Policy."""


def register_policy(name: str, target: str) -> None:
    """Add a policy under `name`; `target` is "module:class", imported on first use."""
    POLICIES[name] = target


def open_policy(name: str, options: Mapping[str, Any] | None = None) -> Policy:
    """The policy registered as `name` with its options checked. Raises ConfigError (naming the nearest)."""
    if name not in POLICIES:
        raise ConfigError(f"unknown region policy '{name}'{nearest(name, POLICIES)}")
    cls = load_target(POLICIES[name])
    try:
        built = build(cls.Options, plain(options or {}), "region.options")  # type: ignore[attr-defined]
    except BuildError as error:
        raise ConfigError(f"region policy '{name}': {error}") from error
    policy = cls(built)
    if not isinstance(policy, Policy):
        raise ConfigError(f"region policy '{name}': {POLICIES[name]} is not a Policy")
    return policy
