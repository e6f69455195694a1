import hashlib
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lddu.data import from_sequences
from lddu.data.card import Card, Findings, Source, make_card, read_source

texts = st.text(max_size=12)
counts = st.integers(0, 10**9)


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Card,
        name=texts,
        layout=texts,
        task=texts,
        sources=st.lists(st.builds(Source, texts, counts, texts, st.none() | texts)).map(tuple),
        splits=st.dictionaries(
            st.sampled_from(["train", "valid", "test"]),
            st.fixed_dictionaries(
                {
                    "samples": counts,
                    "published": st.none() | counts,
                    "positives": st.dictionaries(texts, counts, max_size=3),
                    "empty": counts,
                    "labels_per_sample": st.floats(0, 9),
                    "modalities": st.just({}),
                }
            ),
        ),
        repairs=st.dictionaries(texts, counts, max_size=3),
        warnings=st.lists(texts, max_size=3).map(tuple),
    )
)
def test_json_gives_the_card_back(card):
    assert Card.from_json(card.to_json()) == card
    card.to_text()


def test_json_survives_what_utf8_cannot_say():
    card = Card("\ud800", "", "", (), {}, {}, ("学\udcff",))
    assert Card.from_json(card.to_json().encode("utf-8").decode("utf-8")) == card


@pytest.fixture
def batch():
    def make(n=4):
        steps = [np.ones((1 + i % 3, 2)) for i in range(n)]
        labels = np.zeros((n, 3))
        labels[:, 0] = 1
        labels[: n // 2, 1] = 0.5
        return from_sequences({"a": steps, "b": [None, *steps[1:]]}, labels, features={"b": 2})

    return make


def card_of(split, findings, **options):
    splits = {"train": split}
    return make_card("x", "y", "z", [], splits, "klm", {"train": 1000}, findings, **options)


def test_says_what_the_batch_holds(batch):
    card = card_of(batch(), Findings())
    assert card.splits == {
        "train": {
            "samples": 4,
            "published": 1000,
            "positives": {"k": 4, "l": 2, "m": 0},
            "unknown": {"k": 0, "l": 0, "m": 0},
            "empty": 0,
            "labels_per_sample": 1.5,
            "modalities": {
                "a": {"features": 2, "steps": 3, "min": 1, "median": 1.5, "max": 3, "missing": 0},
                "b": {"features": 2, "steps": 3, "min": 1, "median": 2.0, "max": 3, "missing": 1},
            },
        }
    }
    assert Card.from_json(card.to_json()) == card


def test_unknown_labels_are_counted_and_out_of_every_share(batch):
    labels = np.array([[1, np.nan, np.nan], [0, 1, np.nan], [0, 0, np.nan], [0, 0, np.nan]])
    findings = Findings()
    card = make_card(
        "x", "y", "z", [], {"train": batch().replace(labels=labels)}, "klm", {}, findings
    )
    train = card.splits["train"]
    assert train["unknown"] == {"k": 0, "l": 1, "m": 4}
    assert train["positives"] == {"k": 1, "l": 1, "m": 0}
    assert train["empty"] == 0  # the last two rows may have m
    assert "l 1 (33.3%)" in card.to_text()
    assert "unknown: l 1, m 4" in card.to_text()
    assert card.warnings == ("train: label 'm' is not known to be present",)


def test_warns_of_other_counts_and_constant_labels(batch):
    warnings = card_of(batch(), Findings()).warnings
    assert warnings == (
        "train has 4 samples, but 1,000 were published",
        "train: label 'k' is always present",
        "train: label 'm' is never present",
    )


@pytest.mark.parametrize(("n", "warns"), [(998, True), (999, False), (1001, False), (1002, True)])
def test_a_tolerance_spares_counts_nearby(batch, n, warns):
    warnings = card_of(batch(n), Findings(), tolerance=0.001).warnings
    assert any("published" in warning for warning in warnings) == warns


def test_an_empty_split_is_described_without_nan(batch, recwarn):
    empty = from_sequences({"a": []}, np.zeros((0, 3)), features={"a": 2})
    card = card_of(empty, Findings())
    assert card.splits["train"]["labels_per_sample"] == 0
    assert not recwarn.list
    assert "0 samples" in card.to_text()


def test_findings_add_up_and_warn_once():
    findings = Findings()
    findings.repaired("a", 2)
    findings.repaired("a", np.int64(3))
    findings.repaired("nothing", 0)
    findings.warn("w")
    findings.warn("w")
    assert findings.repairs == {"a": 5}
    assert findings.warnings == ["w"]
    json.dumps(findings.repairs)


def test_text_names_every_fact(batch):
    findings = Findings()
    findings.repaired("-inf set to 0", 12345)
    source = Source("f.pkl", 9, "ab" * 32, "the published file")
    card = make_card("X", "y", "z", [source], {"train": batch()}, "klm", {}, findings)
    for fact in ("f.pkl", "abab", "the published file", "12,345", "l 2 (50.0%)", "WARNING"):
        assert re.search(re.escape(fact), card.to_text())


def test_a_source_has_its_checksum(tmp_path):
    path = tmp_path / "f.bin"
    path.write_bytes(b"content")
    sha = hashlib.sha256(b"content").hexdigest()
    assert read_source(path) == Source("f.bin", 7, sha)
    assert read_source(path, {sha: "v1"}).known_as == "v1"
