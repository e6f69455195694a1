"""TFDS builders, in the array_record format and without TensorFlow.

from lddu.data import tfds

builder = tfds.CmuMosei(config="aligned", data_dir="prepared")
tfds.prepare(builder, manual_dir="folder/with/the/files")
source = builder.as_data_source(split="train")  # random access to single examples
dataset = tfds.read(builder)  # all of it, as a `Dataset` of padded arrays

Importing this module imports tensorflow_datasets.
"""

from lddu.data.tfds.base import prepare, read
from lddu.data.tfds.cmu_mosei import CmuMosei, CmuMoseiConfig
from lddu.data.tfds.m3ed import M3ed, M3edConfig
from lddu.data.tfds.studyforrest import Studyforrest, StudyforrestConfig

__all__ = [
    "CmuMosei",
    "CmuMoseiConfig",
    "M3ed",
    "M3edConfig",
    "Studyforrest",
    "StudyforrestConfig",
    "prepare",
    "read",
]
