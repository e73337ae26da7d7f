"""Errors of the detector that a user can cause and mend; each is one line."""

from __future__ import annotations

from shards.errors import UserError


class DataError(UserError, ValueError):
    """Shards that a detector cannot be trained or scored on."""


class CheckpointError(UserError, ValueError):
    """A checkpoint that is damaged or belongs to another architecture."""


class DivergedError(UserError, ValueError):
    """A training whose loss or weights are no finite numbers any more."""


class InputError(UserError, ValueError):
    """Pictures, or a name for them, that cannot be used."""
