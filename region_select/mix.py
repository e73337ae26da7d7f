"""Several policies by weight: one is drawn for each picture; should it find nothing, the others are asked in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from region_select.policy import Policy, Selection, open_policy, policy_digest
from shards.places import public_text
from shards.source import SourceItem


@dataclass(frozen=True)
class Part:
    """One policy of a mix."""

    policy: str
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MixOptions:
    """Options of the policy `mix`."""

    parts: tuple[Part, ...] = (Part("blobs"),)
    """The policies, with weights that need not add up to one."""
    fallback: bool = True
    """Ask the other policies, in the order of the list, where the drawn one finds no region."""

    def __post_init__(self) -> None:
        if not self.parts or min(part.weight for part in self.parts) < 0 or sum(p.weight for p in self.parts) <= 0:
            raise ValueError("a mix needs one or more parts with weights of 0 or more, not all 0")


class MixPolicy(Policy):
    """Each picture's draw comes from its own generator; each policy sees all pictures that fell to it at once."""

    Options = MixOptions

    def __init__(self, options: MixOptions | None = None) -> None:
        super().__init__(options)
        self.policies = [open_policy(part.policy, part.options) for part in self.options.parts]
        self.falls_back = self.options.fallback and len(self.policies) > 1

    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        weights = np.array([part.weight for part in self.options.parts])
        first = [int(rng.choice(len(weights), p=weights / weights.sum())) for rng in rngs]
        found: list[Selection] = [Selection(None)] * len(items)
        for attempt in range(len(weights) if self.options.fallback else 1):
            for number, policy in enumerate(self.policies):
                rows = [row for row in range(len(items)) if _turn(first[row], attempt) == number]
                rows = [row for row in rows if found[row].mask is None]
                if not rows:
                    continue
                chosen = policy.select([items[row] for row in rows], [rngs[row] for row in rows])
                for row, selection in zip(rows, chosen, strict=True):
                    found[row] = self._named(selection, found[row], number)
        return found

    def take_generator(self, generator: Any) -> None:
        for policy in self.policies:
            policy.take_generator(generator)

    def digest(self) -> str:
        parts = zip(self.options.parts, self.policies, strict=True)
        return " ".join(filter(None, (policy_digest(part.policy, policy) for part, policy in parts)))

    def _named(self, selection: Selection, earlier: Selection, number: int) -> Selection:
        name = public_text(self.options.parts[number].policy)
        detail = "; ".join(text for text in (earlier.detail, f"{name}: {selection.detail}") if text)
        facts = {"policy": name, "part": number, **selection.facts}
        return replace(selection, detail=detail if selection.mask is None else "", facts=facts)


def _turn(first: int, attempt: int) -> int:
    """The policy asked at an attempt: the drawn one, then the others in the order of the list."""
    if attempt == 0:
        return first
    return attempt - 1 if attempt <= first else attempt
