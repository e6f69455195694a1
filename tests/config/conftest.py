from types import SimpleNamespace

import pytest

from lddu import config


@pytest.fixture
def data():
    """Shapes, label names and modalities that presets take."""
    shapes = {"text": (8, 12), "audio": (6, 16)}
    modalities = tuple(config.ModalityConfig(name, *shape) for name, shape in shapes.items())
    return SimpleNamespace(shapes=shapes, labels=("joy", "anger"), modalities=modalities)


@pytest.fixture
def tiny(data):
    """The tiny preset."""
    return config.tiny(data.shapes, data.labels)
