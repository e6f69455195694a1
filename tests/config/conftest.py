"""A small configuration that these tests share."""

import pytest

from lddu import config


@pytest.fixture
def tiny():
    return config.tiny({"text": (8, 12), "audio": (6, 16)}, ("joy", "anger"))
