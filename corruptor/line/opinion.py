"""The detector whose second opinion verification asks for, opened from the config."""

from __future__ import annotations

from dataclasses import replace

from corruptor.config import CorruptionConfig, SecondOpinion
from corruptor.finish import Opinion
from shards.errors import ConfigError
from shards.places import public

OPINION = "corruption.verification.second_opinion"
"""Its name in a run's config."""


def open_opinion(config: SecondOpinion | None, device: str = "auto") -> Opinion | None:
    """What gives the score of pictures, each by itself, so that batches change nothing; None where none is asked for.

    Raises MissingInputError, CheckpointError, ConfigError (also for other weights than the config tells of).
    """
    if config is None:
        return None
    from region_select.opinion import open_detector

    found = digest_of(config)
    if config.sha256 not in ("", found):
        raise ConfigError(
            f"verification.second_opinion.detector {config.detector} has other files (sha256 {found[:16]}) than "
            f"sha256 {config.sha256[:16]} tells of; name the right one, or leave sha256 empty"
        )
    return open_detector(config.detector, config.score, config.revision, device)


def public_opinion(config: CorruptionConfig) -> CorruptionConfig:
    """The config with its detector by name alone, where that lies on this machine (shards/places.py)."""
    asked = config.verification.second_opinion
    if asked is None:
        return config
    told = replace(asked, detector=public(asked.detector, "detector"))
    return replace(config, verification=replace(config.verification, second_opinion=told))


def digest_of(config: SecondOpinion) -> str:
    """sha256 of the detector's files. Raises MissingInputError."""
    from region_select.opinion import detector_digest

    return detector_digest(config.detector, config.score, config.revision)


def with_sha256(config: CorruptionConfig) -> CorruptionConfig:
    """The config with what its second opinion was loaded from written down. Raises MissingInputError."""
    asked = config.verification.second_opinion
    if asked is None or asked.sha256:
        return config
    told = replace(asked, sha256=digest_of(asked))
    return replace(config, verification=replace(config.verification, second_opinion=told))
