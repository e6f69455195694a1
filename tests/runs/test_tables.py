import math

import pytest

from lddu.runs import tables
from lddu.runs.scores import Metric


def stat(mean, std=0.0, n=1):
    return {"mean": mean, "std": std, "n": n}


TABLE = {
    "lddu": {"nll": stat(0.4, 0.012, 3), "micro_f1": stat(0.7)},
    "base": {"nll": stat(0.6), "micro_f1": stat(0.7001)},
    "bayes": {"nll": stat(0.1), "micro_f1": stat(0.9)},
    "new": {"nll": stat(math.nan, math.nan, 0)},
}


def test_plain_table():
    assert tables.format_table(TABLE, ["nll", "micro_f1"]).split("\n") == [
        "model            nll  micro_f1",
        "lddu   0.400 ± 0.012     0.700",
        "base           0.600     0.700",
        "bayes          0.100     0.900",
        "new                –         –",
    ]


def test_markdown_table():
    table = {"a|b": TABLE["lddu"], "bayes": TABLE["bayes"]}
    text = tables.format_table(table, ["nll"], markdown=True, digits=2, bound="bayes")
    assert text.split("\n") == [
        "| model |             nll |",
        "| ----- | --------------: |",
        r"| a\|b  | **0.40 ± 0.01** |",
        "| bayes |            0.10 |",
    ]


def test_unknown_metrics_are_refused_and_declared_ones_shown():
    table = {"a": {"speed": stat(1.0)}, "b": {"speed": stat(2.0)}}
    with pytest.raises(ValueError, match="unknown metric 'speed'"):
        tables.format_table(table, ["speed"])
    speed = Metric("speed", "speed", lower_is_better=False)
    text = tables.format_table(table, [speed], markdown=True)
    assert text.split("\n")[2:] == ["| a     |     1.000 |", "| b     | **2.000** |"]


def test_published_results_and_ours_have_the_same_columns():
    published = [
        tables.Published("They", {"nll": ".1-.2"}, "on test"),
        tables.Published("Others", {"micro_f1": ".5"}, "on validation"),
    ]
    assert tables.beside_published({"lddu": TABLE["lddu"]}, published, "ours") == [
        ["model", "nll", "micro_f1", "protocol"],
        ["They", ".1-.2", "–", "on test"],
        ["Others", "–", ".5", "on validation"],
        ["lddu", "0.4000 ± 0.0120", "0.7000", "ours"],
    ]


def test_align():
    rows = [["a", "long"], ["longer", "b"]]
    assert tables.align(rows).split("\n") == ["a       long", "longer     b"]
    assert tables.align(rows, markdown=True).split("\n") == [
        "| a      | long |",
        "| ------ | ---: |",
        "| longer |    b |",
    ]
