"""Each published layout gives exactly the data that were put into it."""

import numpy as np
import pytest

from lddu.data import mosei


def load(path, **options):
    return mosei.load(path, cache=None, progress=False, **options)


def clip_keys(make, world):
    return {split: make.clip_rows(world, split)[1] for split in world.segments}


@pytest.mark.parametrize("setting", ["aligned", "unaligned"])
def test_mmsa_with_the_labels_file(world, make, check, tmp_path, setting):
    make.pickled(make.mmsa(world, setting), tmp_path / f"{setting}_50.pkl")
    make.labels_csd(world, tmp_path)
    data = load(tmp_path, setting=setting)
    check(data, world, setting, clip_keys(make, world))
    assert data.labels == mosei.LABELS
    assert list(data.valid.ids) == make.clip_rows(world, "valid")[0]
    assert data.card.layout == f"MMSA, {setting}"
    assert [source.file for source in data.card.sources] == [
        f"{setting}_50.pkl",
        "CMU_MOSEI_Labels.csd",
    ]
    assert data.card.repairs == {}


@pytest.mark.parametrize("setting", ["aligned", "unaligned"])
def test_lddu_has_its_own_labels(world, make, check, tmp_path, setting):
    path = make.pickled(make.lddu(world, setting), tmp_path / "x.pkl")
    data = load(path, setting=setting)
    check(data, world, setting, clip_keys(make, world), soft=False)
    assert data.card.layout == f"LDDU, {setting}"


def test_lddu_takes_a_named_labels_file_for_its_intensities(world, make, check, tmp_path):
    path = make.pickled(make.lddu(world, "aligned"), tmp_path / "x.pkl")
    data = load(path, labels=make.labels_csd(world, tmp_path))
    check(data, world, "aligned", clip_keys(make, world))


@pytest.mark.parametrize("as_lists", [True, False])
def test_tailor(world, make, check, tmp_path, as_lists):
    path = make.pickled(make.tailor(world, as_lists), tmp_path / "train_valid_test.pt")
    data = load(path)
    check(data, world, "aligned", soft=False)
    assert data.train.ids[17] == "train 17"
    assert data.card.layout == "TAILOR, aligned"


def test_tailor_as_pytorch_writes_it(world, make, check, tmp_path):
    torch = pytest.importorskip("torch")
    content = make.tailor(world)
    for part in (content[split] for split in world.segments):
        for key in ("src-text", "src-audio", "src-visual"):
            part[key] = [torch.from_numpy(values) for values in part[key]]
        part["tgt"] = [torch.tensor(codes) for codes in part["tgt"]]
    torch.save(content, tmp_path / "train_valid_test.pt")
    check(load(tmp_path), world, "aligned", soft=False)


def test_targets_may_be_padded(world, make, check, tmp_path):
    content = make.tailor(world)
    for split in world.segments:
        rows = content[split]["tgt"]
        content[split]["tgt"] = np.array([row + [0] * (9 - len(row)) for row in rows])
    check(load(make.pickled(content, tmp_path / "a.pt")), world, "aligned", soft=False)


def test_multibench_with_emotions(world, make, check, tmp_path):
    path = make.pickled(make.plain(world, "aligned", "segment", True), tmp_path / "mosei_raw.pkl")
    data = load(path)
    check(data, world, "aligned")
    assert data.test.ids[3] == "epsilon[3]"
    assert data.card.layout == "MultiBench, aligned"


def test_multibench_by_segment(world, make, check, tmp_path):
    make.pickled(make.plain(world, "aligned", "segment", False), tmp_path / "mosei_raw.pkl")
    make.labels_csd(world, tmp_path)
    check(load(tmp_path), world, "aligned")


def test_mult_by_row_order(world, make, check, tmp_path):
    name = "mosei_senti_data_noalign.pkl"
    make.pickled(make.plain(world, "unaligned", "none", False), tmp_path / name)
    labels = make.pickled(make.tailor(world), tmp_path / "train_valid_test.pt")
    data = load(tmp_path, setting="unaligned")
    check(data, world, "unaligned", soft=False)
    assert data.card.layout == "MulT, unaligned"
    assert [source.file for source in data.card.sources] == [name, "train_valid_test.pt"]
    # The two settings of this world have other words.
    assert any("begin with the same word vector" in text for text in data.card.warnings)
    check(load(tmp_path / name, setting="unaligned", labels=labels), world, "unaligned", soft=False)
    # The other setting of the same folder is TAILOR's own file.
    check(load(tmp_path), world, "aligned", soft=False)


def test_mult_by_time(world, make, check, tmp_path):
    make.pickled(make.plain(world, "unaligned", "interval", False), tmp_path / "noalign.pkl")
    make.labels_csd(world, tmp_path)
    data = load(tmp_path, setting="unaligned")
    check(data, world, "unaligned")
    assert data.train.ids[1] == "alpha 5.004"


def test_mult_takes_times_where_the_row_counts_differ(world, make, check, tmp_path):
    make.pickled(make.plain(world, "unaligned", "interval", False), tmp_path / "noalign.pkl")
    short = make.tailor(world)
    short["test"] = {key: values[:-1] for key, values in short["test"].items()}
    make.pickled(short, tmp_path / "train_valid_test.pt")
    with pytest.raises(ValueError, match=r"train 40 and 40, valid 12 and 12, test 11 and 10"):
        load(tmp_path, setting="unaligned")
    make.labels_csd(world, tmp_path)
    check(load(tmp_path, setting="unaligned"), world, "unaligned")
