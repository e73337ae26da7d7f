"""The networks that verification asks beside the change of pixels, opened from the config: an opinion, a distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from corruptor.band_config import BandConfig
from corruptor.config import CorruptionConfig, SecondOpinion, VerificationConfig
from corruptor.finish import Judges
from shards.errors import ConfigError
from shards.places import public

OPINION = "corruption.verification.second_opinion"
BAND = "corruption.verification.band"
"""Their names in a run's config."""


def open_judges(config: VerificationConfig, device: str = "auto") -> Judges:
    """What the config asks for; each looks at pictures one by one, so that batches change nothing.

    Raises MissingInputError, CheckpointError, ConfigError (also for other weights than the config tells of).
    """
    from region_select.opinion import open_detector, open_distance

    opinion = distance = None
    if config.second_opinion is not None:
        asked = config.second_opinion
        check_digest(f"{OPINION}.detector", asked.detector, asked.sha256, digest_of(asked))
        opinion = open_detector(asked.detector, asked.score, asked.revision, device, asked.boundary)
    if config.band is not None:
        band = config.band
        check_digest(f"{BAND}.features", band.features, band.sha256, digest_of_band(band))
        distance = open_distance(band.features, band.revision, device)
    return Judges(opinion, distance)


def check_digest(name: str, where: str, told: str, found: str) -> None:
    """Raises ConfigError for other weights than the config tells of."""
    if told not in ("", found):
        raise ConfigError(
            f"{name.removeprefix('corruption.')} {where} has other files (sha256 {found[:16]}) than sha256 {told[:16]} "
            f"tells of; name the right one, or leave sha256 empty"
        )


def digest_of(config: SecondOpinion) -> str:
    """sha256 of the detector's files. Raises MissingInputError."""
    from region_select.opinion import detector_digest

    return detector_digest(config.detector, config.score, config.revision)


def digest_of_band(config: BandConfig) -> str:
    """sha256 of the network's files. Raises MissingInputError."""
    from region_select.opinion import features_digest

    return features_digest(config.features, config.revision)


def public_judges(config: CorruptionConfig) -> CorruptionConfig:
    """The config with its networks by name alone, where those lie on this machine (shards/places.py)."""
    return changed(
        config,
        lambda one: replace(one, detector=public(one.detector, "detector")),
        lambda one: replace(one, features=public(one.features, "features")),
    )


def with_sha256(config: CorruptionConfig) -> CorruptionConfig:
    """The config with what its networks were loaded from written down. Raises MissingInputError."""
    return changed(
        config,
        lambda one: one if one.sha256 else replace(one, sha256=digest_of(one)),
        lambda one: one if one.sha256 else replace(one, sha256=digest_of_band(one)),
    )


def changed(
    config: CorruptionConfig,
    opinion: Callable[[SecondOpinion], SecondOpinion],
    band: Callable[[BandConfig], BandConfig],
) -> CorruptionConfig:
    """The config with what it asks for, as far as it does, changed."""
    told = config.verification
    return replace(
        config,
        verification=replace(
            told,
            second_opinion=None if told.second_opinion is None else opinion(told.second_opinion),
            band=None if told.band is None else band(told.band),
        ),
    )
