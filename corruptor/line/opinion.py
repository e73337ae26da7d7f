"""The detector whose second opinion verification asks for, opened from the config."""

from __future__ import annotations

from dataclasses import replace

from corruptor.config import CorruptionConfig, SecondOpinion
from corruptor.corrupt import Opinion
from shards.errors import ConfigError


def open_opinion(config: SecondOpinion | None, device: str = "auto") -> Opinion | None:
    """What gives the score of pictures, each by itself, so that batches change nothing; None where none is asked for.

    Raises MissingInputError, CheckpointError, ConfigError (also for other weights than the config tells of).
    """
    if config is None:
        return None
    from region_select.opinion import open_detector

    found = digest_of(config)
    if config.weights not in ("", found):
        raise ConfigError(
            f"verification.second_opinion.detector {config.detector} has other files (sha256 {found[:16]}) than its "
            f"weights {config.weights[:16]} tell of; name the right one, or leave weights empty"
        )
    return open_detector(config.detector, config.score, config.revision, device)


def digest_of(config: SecondOpinion) -> str:
    """sha256 of the detector's files. Raises MissingInputError."""
    from region_select.opinion import detector_digest

    return detector_digest(config.detector, config.score, config.revision)


def with_weights(config: CorruptionConfig) -> CorruptionConfig:
    """The config with the weights of its second opinion written down. Raises MissingInputError."""
    asked = config.verification.second_opinion
    if asked is None or asked.weights:
        return config
    told = replace(asked, weights=digest_of(asked))
    return replace(config, verification=replace(config.verification, second_opinion=told))
