"""Damaged inputs, to measure how a model holds up: noise, lost steps, lost and swapped modalities.

Each corruption is f(key, batch, severity, modalities=None) -> Batch; `CORRUPTIONS` lists them all.
Severity 0 leaves the batch as it is; 1 to 5 stand for these strengths (`STRENGTHS`):

                     1     2     3     4     5
    feature_noise  0.1  0.25   0.5   1.0   2.0   standard deviations of a feature
    drop_steps     0.1  0.25   0.5  0.75   0.9   probability that a step is lost
    drop_span      0.1  0.25   0.5  0.75   0.9   share of a sequence's steps, in one piece
    drop_modality  0.1  0.25   0.5  0.75   0.9   share of samples that lose the modality
    swap_modality  0.1  0.25   0.5  0.75   1.0   share of samples that get another sample's

Only real data change: labels, weights, padding, rows of weight 0 and modalities that a sample lacks
stay as they are. Each modality is damaged on its own, whichever others are named. With one key, a
higher severity adds to the damage of a lower one: noise grows, and further steps or samples are hit
(a longer span may lie elsewhere, however). To combine corruptions, give each its own key, since
with one key they hit the same samples.

Everything runs in NumPy, without compilation. The input is never modified; arrays that do not
change are shared with it.

`subset` keeps some modalities only; with `subsets` a model can be scored on all 2^M - 1 of them.
"""

from collections.abc import Callable, Mapping

from lddu.data.corruptions.inputs import STRENGTHS
from lddu.data.corruptions.modalities import drop_modality, subset, subsets, swap_modality
from lddu.data.corruptions.steps import drop_span, drop_steps, feature_noise
from lddu.structs import Batch

CORRUPTIONS: Mapping[str, Callable[..., Batch]] = {
    f.__name__: f for f in (feature_noise, drop_steps, drop_span, drop_modality, swap_modality)
}

__all__ = [
    "CORRUPTIONS",
    "STRENGTHS",
    "drop_modality",
    "drop_span",
    "drop_steps",
    "feature_noise",
    "subset",
    "subsets",
    "swap_modality",
]
