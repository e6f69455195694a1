"""Published facts about CMU-MOSEI: counts, checksums and widths."""

# Utterances per split, as papers that use the official folds report them.
PUBLISHED = {"train": 16326, "valid": 1871, "test": 4659}
# SHA-256 -> name, of the files of the MMSA release.
CHECKSUMS = {
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": "aligned_50.pkl",
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": "unaligned_50.pkl",
}
# Widths of GloVe and BERT; of COVAREP; of FACET 4.2 and OpenFace 2.
WIDTHS = {"text": (300, 768), "audio": (74,), "vision": (35, 713)}
MODALITIES = tuple(WIDTHS)
