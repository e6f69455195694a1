"""Fixtures of the predictor's tests: `toy` calibrated by any method."""

import dataclasses
import functools

import pytest

import lddu
from lddu import config


@pytest.fixture(scope="session")
def fitted(toy, toy_data, toy_members):
    """fitted(method, **calibration): `toy` calibrated on `toy_data`; each once for all tests."""

    @functools.cache
    def fit(method, **changes):
        settings = {"method": method, "thresholds": "per_label", **changes}
        settings = {f"calibration.{name}": value for name, value in settings.items()}
        changed = dataclasses.replace(toy, config=config.replace(toy.config, settings))
        return lddu.calibrate(changed, toy_data, members=toy_members)

    return fit


@pytest.fixture(scope="session")
def small(fitted):
    """`toy` with a shared temperature and a shared threshold, the default."""
    return fitted("temperature", thresholds="shared")
