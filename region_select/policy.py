"""A region policy proposes, for each picture, the mask under which it will be damaged, or says that it found none.

Policies are found by name in `POLICIES`, among the entry points `blemish.region_policies`, or by the place of their
code, and loaded when they are first asked for, so that one that needs a network costs nothing to the others. A policy
may not keep state between calls: what it proposes for a picture depends on the picture and its generator alone, never
on the batch.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from shards.build import BuildError, build, nearest, plain
from shards.errors import ConfigError
from shards.extensions import ExtensionPoint, Target, blamed, code_digest, told
from shards.masks import ARTIFACT, U8, check_mask
from shards.places import public_text
from shards.seeds import named_rng
from shards.source import SourceItem


@dataclass(frozen=True)
class Selection:
    """What was proposed for one picture. `mask` is None where nothing was found: a recorded outcome, not an error."""

    mask: U8 | None
    """uint8 HW of the picture's size: 1 damage here, 0 leave alone, 255 ignore."""
    detail: str = ""
    """With no mask: why."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen, as plain JSON values (names of regions, drawn area); goes into the sample's JSON."""


@dataclass(frozen=True)
class NoOptions:
    """Options of a policy that has none."""


class Policy(abc.ABC):
    """Base of all policies. `options` is an instance of the class's `Options`, a frozen dataclass of plain values."""

    falls_back: bool = False
    """Whether a picture without a mask of its own is welcome though the source has masks for others."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options

    @abc.abstractmethod
    def select(self, items: Sequence[SourceItem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        """Propose a mask for each item.

        Args:
            items: pictures of one size, already brought to the model's size (a learned policy runs them as one batch).
            rngs: one generator an item; the only source of chance.
        """

    def take_generator(self, generator: Any) -> None:  # noqa: B027 - most need none
        """Called once with the run's own model (`corruptor.backbone.Backbone`), for who looks at pictures with it."""

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
    return named_rng(f"propose/{seed}/{item.sha256}/{item.occurrence}")


class FunctionPolicy(ItemPolicy):
    """A function as a policy: `function(item, rng, **options)` gives a mask uint8 HW with 0, 1, 255, or None."""

    def __init__(self, name: str, function: Callable[..., U8 | None], options: Mapping[str, Any]) -> None:
        """Raises ConfigError for an option that the function does not take."""
        self.name, self.function = name, function
        known = list(inspect.signature(function).parameters)[2:]
        for option in options:
            if option not in known:
                raise ConfigError(f"region policy '{name}': unknown option '{option}'{nearest(option, known)}")
        super().__init__(dict(options))

    def propose(self, item: SourceItem, rng: np.random.Generator) -> Selection:
        """Raises ConfigError where the function gives something else than a mask of the picture's size."""
        try:
            mask = self.function(item, rng, **self.options)
        except Exception as error:  # whatever a function of the user's raises is the user's to see
            raise ConfigError(
                f"region policy '{self.name}' fails on {item.uri}: {blamed(error) or told(error)}"
            ) from error
        if mask is None:
            return self._nothing()
        if getattr(mask, "shape", None) != item.image.shape[:2] or mask.dtype not in (np.uint8, np.bool_):
            raise ConfigError(
                f"region policy '{self.name}' gave {getattr(mask, 'dtype', type(mask).__name__)} of shape "
                f"{getattr(mask, 'shape', ())} for a picture of {item.image.shape[:2]}; needed: uint8 HW with 0, 1, 255"
            )
        mask = mask.astype(np.uint8)
        check_mask(mask)
        return Selection(mask) if (mask == ARTIFACT).any() else self._nothing()

    def _nothing(self) -> Selection:
        return Selection(None, f"{public_text(self.name)} found no region")


POLICIES: dict[str, Target] = {
    "files": "region_select.files:FilesPolicy",
    "scene": "region_select.scene:ScenePolicy",
    "blobs": "region_select.blobs:BlobsPolicy",
    "learned": "region_select.learned:LearnedPolicy",
    "mix": "region_select.mix:MixPolicy",
    "rejected": "region_select.rejected:RejectedPolicy",
    "uncertain": "corruptor.line.uncertain:UncertainPolicy",
    "prompted": "region_select.prompted:PromptedPolicy",
}
"""Policy name -> "module:attribute", imported on first use, or the class or function itself."""


def policies() -> ExtensionPoint:
    """Where region policies are found."""
    return ExtensionPoint("region policy", "blemish.region_policies", POLICIES)


def register_policy(name: str, target: Target) -> None:
    """Add a region policy under `name`, for this process.

    Args:
        name: what `region.policy` of a config says; no colon.
        target: a subclass of Policy, a function as FunctionPolicy takes it, or "module:attribute", imported on first
            use.

    A config finds code that is not registered too: `region.policy = "FILE.py:NAME"`, or an entry point
    `blemish.region_policies`.
    """
    POLICIES[name] = target


def open_policy(name: str, options: Mapping[str, Any] | None = None) -> Policy:
    """The policy called `name` (registered, an entry point, or `FILE.py:NAME`) with its options checked.

    Raises ConfigError, naming the nearest where there is none.
    """
    found, given = policies().find(name), plain(options or {})
    if not inspect.isclass(found):
        return FunctionPolicy(name, found, given)
    kind = policy_class(name, found)
    return kind(build_options(name, kind, given))


def policy_class(name: str, found: type) -> type[Policy]:
    """Raises ConfigError for another class."""
    if not issubclass(found, Policy):
        raise ConfigError(f"region policy '{name}': {found.__name__} is not a Policy")
    return found


def build_options(name: str, found: type[Policy], given: Mapping[str, Any]) -> Any:
    """The options of a policy's class, checked. Raises ConfigError."""
    try:
        return build(found.Options, given, "region.options")
    except BuildError as error:
        raise ConfigError(f"region policy '{name}': {error}") from error


def check_policy(name: str, options: Mapping[str, Any]) -> None:
    """Raise what `open_policy` would raise of name and options, without loading what a policy needs."""
    found = policies().find(name)
    if inspect.isclass(found):
        build_options(name, policy_class(name, found), options)
    else:
        FunctionPolicy(name, found, options)


def policy_digest(name: str, policy: Policy) -> str:
    """What identifies a policy besides its options: its own digest, and the sha256 of its code where that is a file."""
    code = code_digest(name)
    return " ".join(filter(None, (policy.digest(), f"code {code}" if code else "")))
