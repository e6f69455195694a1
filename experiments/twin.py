"""A PyTorch twin of the preset `paper`: the opponent in the speed comparison of `benchmark.py`.

Meant to be as fast as idiomatic PyTorch goes: fused attention and, in `eval` mode, the fused layer
of `nn.TransformerEncoder` on nested tensors; one batched product for many small ones; fused AdamW;
no wait for the device in a step, no graph break under `torch.compile`.

Same arithmetic as `LDDU` and `lddu.losses.objective` for `config.paper` with `loss.anchors="batch"`
and `loss.bank_start="empty"`; `tests/experiments/test_twin.py` compares every gradient, in float32.
But:
- every row counts fully and has a real step in every modality, and padding holds zeros;
- AdamW follows one clipping, at a constant learning rate, where the preset has `bert_adam`;
- exponentials in the contrast are shifted by the logits' bound, not their largest: fewer passes;
- `execution.dtype="bfloat16"` is autocast of the streams, with its own idea of what stays float32.
"""

import dataclasses
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lddu.config import Config, LossConfig, ModalityConfig, ModelConfig
from lddu.official.weights import to_official

# The loss (), its terms, detached, and the features (n, F) and classes (n,) that the bank takes.
Result = tuple[Tensor, dict[str, Tensor], tuple[Tensor, Tensor]]


class Batch(NamedTuple):
    """By modality, values (B, T, D) and masks (B, T), True at real steps; labels (B, C)."""

    values: dict[str, Tensor]
    masks: dict[str, Tensor]
    labels: Tensor | None = None

    def to(self, device: str) -> "Batch":
        """The batch on a device; from pinned memory without waiting."""
        moved = [
            {name: x.to(device, non_blocking=True) for name, x in part.items()} for part in self[:2]
        ]
        return Batch(*moved, None if self.labels is None else self.labels.to(device))


class Output(NamedTuple):
    """Log-odds (B, C); mean and standard deviation (M, B, C, Z) of the latent Gaussians."""

    logits: Tensor
    direct_logits: Tensor
    mean: Tensor
    deviation: Tensor


class Bank:
    """A ring buffer of detached features (N, F), updated in place; empty slots are `nobody`'s."""

    def __init__(self, config: Config, device: Any = None):
        size, model = config.loss.bank_size, config.model
        self.nobody = 2 * len(model.labels) * len(model.modalities)
        self.features = torch.zeros(size, 2 * model.latent, device=device)
        self.classes = torch.full((size,), self.nobody, device=device)
        self.cursor = torch.zeros((), dtype=torch.long, device=device)

    @torch.no_grad()
    def enqueue(self, features: Tensor, classes: Tensor) -> None:
        """Writes features (n, F) of classes (n,) over the oldest; of more than N the last N."""
        size = len(self.classes)
        features, classes = features[-size:], classes[-size:]
        slots = (self.cursor + torch.arange(len(classes), device=classes.device)) % size
        self.features.index_copy_(0, slots, features)
        self.classes.index_copy_(0, slots, classes)
        self.cursor.add_(len(classes)).remainder_(size)


class GroupedLinear(nn.Module):
    """One linear layer per group in a batched product: (G, n, inputs) to (G, n, outputs)."""

    def __init__(self, groups: int, inputs: int, outputs: int):
        super().__init__()
        self.shape = (groups, outputs, inputs)
        self.weight = nn.Parameter(torch.empty(groups * outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(groups * outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps each group by its own weights."""
        bias = self.bias.view(self.shape[0], 1, self.shape[1])
        return torch.baddbmm(bias, x, self.weight.view(self.shape).mT)


class Stream(nn.Module):
    """One modality, from features to label features: post-norm encoder, label-wise attention."""

    def __init__(self, modality: ModalityConfig, model: ModelConfig, nested: bool):
        super().__init__()
        cfg, hidden = model.encoder, model.encoder.hidden
        eps = cfg.layer_norm_epsilon
        self.input_norm = nn.LayerNorm(modality.features, cfg.input_norm_epsilon)
        self.project = nn.Linear(modality.features, hidden)
        self.positions = nn.Parameter(torch.empty(modality.length, hidden))
        self.norm, self.dropout = nn.LayerNorm(hidden, eps), nn.Dropout(cfg.dropout)
        layer = nn.TransformerEncoderLayer(
            hidden, cfg.heads, cfg.feed_forward, cfg.dropout, "gelu", eps, batch_first=True
        )
        layer.self_attn.dropout = cfg.attention_dropout
        layer.dropout.p = 0.0  # the one between activation and projection: LDDU has none there
        self.encoder = nn.TransformerEncoder(layer, cfg.layers, enable_nested_tensor=nested)
        self.query, self.memory, self.out = (nn.Linear(hidden, hidden) for _ in range(3))
        self.label_dropout = nn.Dropout(model.label_dropout)

    def forward(self, x: Tensor, mask: Tensor | None, labels: Tensor) -> Tensor:
        """Maps (B, T, D), real where `mask` or everywhere, and labels (C, H) to (B, C, H)."""
        x = self.project(self.input_norm(x)) + self.positions[: x.shape[1]]
        padding = None if mask is None else ~mask
        x = self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=padding)
        # One projection makes key and value; applied to C queries and averages, not to T states.
        query = (self.query(labels) @ self.memory.weight).expand(len(x), 1, -1, -1)
        mask = None if mask is None else mask[:, None, None, :]
        x = F.scaled_dot_product_attention(query, x[:, None], x[:, None], attn_mask=mask)
        return self.out(self.label_dropout(self.memory(x[:, 0])))


class Twin(nn.Module):
    """The model for a configuration, at random weights; `load` takes over those of `LDDU`.

    Args:
      config: Preset `paper` with batch anchors and an empty bank, of any size, padding masked or
        not; another is refused with a ValueError.
      enable_nested_tensor: In `eval` mode without gradients, skip padding that follows the real
        steps. To look whether it does, the host waits for the device once per modality.
    """

    def __init__(self, config: Config, *, enable_nested_tensor: bool = True):
        super().__init__()
        _check(config)
        self.config, model = config, config.model
        hidden, m, c = model.encoder.hidden, len(model.modalities), len(model.labels)
        self.label_embeddings = nn.Parameter(torch.empty(c, hidden))
        streams = {s.name: Stream(s, model, enable_nested_tensor) for s in model.modalities}
        self.streams = nn.ModuleDict(streams)
        self.latent = nn.Sequential()
        for sizes in pairwise((hidden, *model.latent_hidden)):
            self.latent.extend([GroupedLinear(m, *sizes), nn.ReLU()])
        self.latent.append(GroupedLinear(m, model.latent_hidden[-1], 2 * model.latent))

        def head(linear: Callable[[int, int], nn.Module], inputs: int) -> nn.Sequential:
            width, dropout = model.head_hidden, nn.Dropout(model.head_dropout)
            return nn.Sequential(linear(inputs, width), dropout, nn.ReLU(), linear(width, 1))

        self.direct = head(nn.Linear, m * hidden)
        # The heads of all labels on the means, then those on the deviations.
        self.heads = head(lambda *sizes: GroupedLinear(2 * c, *sizes), m * model.latent)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=1.0 if p is self.label_embeddings else 0.02)

    def forward(self, batch: Batch) -> Output:
        """Predicts; labels are not needed."""
        masks = batch.masks if self.config.model.mask_padding else {}
        half = self.config.execution.dtype == "bfloat16"
        with torch.autocast(self.label_embeddings.device.type, torch.bfloat16, enabled=half):
            features = [
                stream(batch.values[name], masks.get(name), self.label_embeddings)
                for name, stream in self.streams.items()
            ]
        features = [x.float() for x in features] if half else features
        b, c, _ = features[0].shape
        direct = self.direct(torch.cat(features, dim=-1))[..., 0]
        latent = self.latent(torch.stack(features).flatten(1, 2)).unflatten(1, (b, c))
        mean, log_variance = latent.chunk(2, dim=-1)
        deviation = torch.exp(0.5 * log_variance)
        # (M, B, C, Z) to (C, B, M, Z), for the product per label.
        both = torch.cat([x.permute(2, 1, 0, 3) for x in (mean, deviation)])
        per_label = self.heads(both.flatten(2)).view(2, c, b).mT
        # Mixed in log-probabilities, of presence and of absence.
        logits = torch.cat([direct[None], per_label])
        gate, on_mean, on_deviation = F.logsigmoid(torch.stack([logits, -logits])).unbind(1)
        mixed = torch.logaddexp(gate[0] + on_mean, gate[1] + on_deviation)
        return Output(mixed[0] - mixed[1], direct, mean, deviation)

    def loss(self, batch: Batch, bank: Bank) -> Result:
        """`objective` of the prediction; to be compiled whole, as `torch.compile(twin.loss)`."""
        return objective(self(batch), batch.labels, bank, self.config.loss)

    def train_step(
        self, optimizer: torch.optim.Optimizer, batch: Batch, bank: Bank, loss: Any = None
    ) -> dict[str, Tensor]:
        """One step, with `self.loss` or its compiled form; the terms stay on the device."""
        optimizer.zero_grad(set_to_none=True)
        total, terms, entries = (loss or self.loss)(batch, bank)
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters(), self.config.train.clip_norm)
        optimizer.step()
        bank.enqueue(*entries)
        return terms


def objective(output: Output, labels: Tensor, bank: Bank, weights: LossConfig) -> Result:
    """Judges a prediction against its labels and the bank, which stays as it is."""
    units = [F.normalize(x, dim=-1).transpose(0, 1) for x in (output.mean, output.deviation)]
    features = torch.cat(units, dim=-1).flatten(0, 2)  # of (sample, modality, label)
    # A class is a label, present or absent, in one modality or across them.
    m, c = len(output.mean), labels.shape[1]
    states = torch.arange(c, device=labels.device) + c * (labels < 0.5)
    where = torch.arange(m, device=labels.device) * (0 if weights.cross_modal_positives else 2 * c)
    classes = (states[:, None, :] + where[:, None]).flatten()
    nll = F.binary_cross_entropy_with_logits(output.logits, labels)
    direct = F.binary_cross_entropy_with_logits(output.direct_logits, labels)
    spread = official_spread(output.deviation, output.direct_logits)
    contrast = contrastive(features, classes, bank, weights.temperature)
    total = nll + weights.direct * direct + weights.spread * spread + weights.contrastive * contrast
    terms = {"nll": nll, "direct": direct, "spread": spread, "contrastive": contrast}
    return total, {k: x.detach() for k, x in terms.items()}, (features.detach(), classes)


def contrastive(features: Tensor, classes: Tensor, bank: Bank, temperature: float) -> Tensor:
    """Supervised contrastive loss () of features (n, F) against each other and the bank."""
    bound, scale = 1 / temperature, 0.5 / temperature  # a feature vector has norm sqrt(2)
    # After the product a single pass over each matrix, in place.
    own = torch.addmm(features.new_full((1,), -bound), features, features.T, alpha=scale)
    own.fill_diagonal_(-torch.inf)
    shift = torch.where(bank.classes == bank.nobody, -torch.inf, -bound)
    past = torch.addmm(shift, features, bank.features.T, alpha=scale)
    log_total = (own.exp_().sum(1) + past.exp_().sum(1)).log() + bound

    def over_positives(past: Tensor, own: Tensor) -> Tensor:
        sums = own.new_zeros(bank.nobody + 1, *own.shape[1:]).index_add(0, bank.classes, past)
        return sums.index_add(0, classes, own).index_select(0, classes) - own

    # The sum of similarities to the positives is the similarity to their sum.
    count = over_positives(torch.ones_like(shift), features.new_ones(len(features)))
    positives = over_positives(bank.features, features)
    mean_positive = scale * (features * positives).sum(1) / count.clamp_min(1)
    has = count > 0
    return torch.where(has, log_total - mean_positive, 0.0).sum() / has.sum().clamp_min(1)


def official_spread(deviation: Tensor, direct_logits: Tensor) -> Tensor:
    """The official calibration loss (), as `lddu.losses.spread.official_spread`."""
    norm = torch.sqrt(deviation.square().sum((0, 3)) + 1e-12)
    log_v = F.log_softmax(norm.flatten(), dim=0).view_as(norm)
    log_c = F.log_softmax(torch.sigmoid(direct_logits), dim=-1)
    return ((log_c.exp() - log_v.exp()) * (log_c - log_v)).sum() / (2 * norm.numel())


def adamw(twin: Twin) -> torch.optim.AdamW:
    """Fused AdamW; biases and LayerNorms do not decay."""
    train = twin.config.train
    matrices = [p for p in twin.parameters() if p.dim() > 1]
    vectors = {"params": [p for p in twin.parameters() if p.dim() == 1], "weight_decay": 0.0}
    groups = [{"params": matrices, "weight_decay": train.weight_decay}, vectors]
    return torch.optim.AdamW(groups, train.learning_rate, eps=1e-6, fused=True)


def load(params: Mapping[str, Any], config: Config, **options: Any) -> Twin:
    """`Twin(config, **options)` with the parameters of an `LDDU` of that configuration."""
    twin, official = Twin(config, **options), to_official(params, config)
    names = official_names(config)
    state = {ours: torch.cat([torch.tensor(official[p]) for p in names[ours]]) for ours in names}
    twin.load_state_dict(state)
    return twin


def official_names(config: Config) -> dict[str, list[str]]:
    """For each parameter of the twin the official ones that it concatenates, on the first axis."""
    names = {"label_embeddings": ["embedding_layer.weight"]}

    def layer(ours: str, *official: str) -> None:
        for kind in ("weight", "bias"):
            names[ours + kind] = [f"{part}.{kind}" for part in official]

    its = {"vision": ("visual", 0), "audio": ("audio", 1), "text": ("bert", 2)}
    for name in config.model.modality_names:
        ours, (encoder, number) = f"streams.{name}.", its[name]
        norm = name.replace("vision", "visual") + "_norm"
        layer(f"{ours}input_norm.", f"{norm}.{norm}2d")
        layer(f"{ours}project.", f"{encoder}.embeddings.word_embeddings")
        names[f"{ours}positions"] = [f"{encoder}.embeddings.position_embeddings.weight"]
        layer(f"{ours}norm.", f"{encoder}.embeddings.LayerNorm")
        for i in range(config.model.encoder.layers):
            mine, theirs = f"{ours}encoder.layers.{i}.", f"{encoder}.encoder.layer.{i}"
            qkv = (f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
            layer(f"{mine}self_attn.in_proj_", *qkv)
            layer(f"{mine}self_attn.out_proj.", f"{theirs}.attention.output.dense")
            layer(f"{mine}norm1.", f"{theirs}.attention.output.LayerNorm")
            layer(f"{mine}linear1.", f"{theirs}.intermediate.dense")
            layer(f"{mine}linear2.", f"{theirs}.output.dense")
            layer(f"{mine}norm2.", f"{theirs}.output.LayerNorm")
        for mine, theirs in (("query", "label"), ("memory", "seq"), ("out", "out")):
            layer(f"{ours}{mine}.", f"label_wise_attention.{theirs}_projection.{number}")
    numbers = [its[name][1] for name in config.model.modality_names]
    for i, parts in enumerate((["linear.0"], ["linear.1"], ["output"], ["fc_mu", "fc_var"])):
        layer(f"latent.{2 * i}.", *(f"encoder.{n}.{part}" for n in numbers for part in parts))
    labels = range(len(config.model.labels))
    heads = [f"{part}.{k}" for part in ("final_classifier", "var_classifier1") for k in labels]
    for i in (0, 3):
        layer(f"direct.{i}.", f"common_classfier.{i}")
        layer(f"heads.{i}.", *(f"{head}.{i}" for head in heads))
    return names


def _check(config: Config) -> None:
    replace, model, loss = dataclasses.replace, config.model, config.loss
    computed = replace(loss, anchors="batch", bank_start="empty", similarity="cosine", kl=0.0)
    computed = replace(computed, spread_target="probability", label_smoothing=0.0)
    fits = loss == computed and loss.bank_size > 0 and model.encoder.input_norm
    fits &= model == replace(model, fusion="gate", variance="exp", statistics=0)
    if not (fits and loss.temperature >= 0.025):  # below, exp(-2 / temperature) underflows
        form = "loss.anchors='batch', loss.bank_start='empty', loss.temperature >= 0.025 and a bank"
        raise ValueError(f"the twin is of preset `paper` with {form}; got {model} and {loss}")
