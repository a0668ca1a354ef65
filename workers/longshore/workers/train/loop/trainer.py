"""A whole training run, from a table to a trained model."""

from __future__ import annotations

import torch
from torch import nn

from longshore.shared.specs.families import FamilyConfig
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.workers.families.base import Family
from longshore.workers.families.layout import channels_last
from longshore.workers.families.model import assemble
from longshore.workers.families.registry import get_family
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data
from longshore.workers.train.data.load_rows import Opened
from longshore.workers.train.data.stream.dataset import read_streams
from longshore.workers.train.loop.fitting import Data, Fitting, Keeping
from longshore.workers.train.loop.initialize import initialize
from longshore.workers.train.loop.pretrained import Prior, freeze
from longshore.workers.train.loop.result import Check, Report, TrainedModel
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.single import Single


def train(
    spec: TrainSpec,
    rows: Opened,
    device: torch.device,
    report: Report,
    check: Check,
    fold: tuple[int, int] | None = None,
    keeping: Keeping | None = None,
    prior: Prior | None = None,
    strategy: Strategy | None = None,
) -> TrainedModel:
    """Train what ``spec`` asks for on ``rows``, which are those that it names: in memory, or streamed.

    The seed decides the split, the initial weights, the order of rows and the dropout. Two runs on the CPU with as many
    threads end with the same bits. The state of torch's global generators is left as it was.

    :param report: called after each epoch, from 1, with ``train_loss`` and, if rows are held out, ``val_loss`` and
        ``val_accuracy``, or ``val_loss``, ``val_mae`` and ``val_r2``, say; and at the end, if rows are kept for
        testing, with the same of these, named ``test_``.
    :param check: called before each batch; what it raises ends the run.
    :param fold: as of :func:`read_training_data`.
    :param keeping: checkpoints, and from where to go on.
    :param prior: what ``spec`` names to begin with or to learn from.
    :param strategy: how the training is spread over devices, of which ``device`` is this process's; each process calls
        this, and what that of rank 0 gives counts. ``None``: on ``device`` alone.
    :raises InvalidInput: the spec does not fit the rows or the family, a row is bad, the loss is no longer finite, or
        the run does not fit the memory of ``device``.
    """
    family = get_family(spec.family)
    config = build(family.config, spec.config, "config.")
    prior, strategy = prior or Prior(), strategy or Single()
    if isinstance(rows, Tables):
        data: Data = read_training_data(spec, rows, fold, prior.tokenizer)
    else:
        data = read_streams(spec, rows, check, fold)
    tokens = data.fitted if isinstance(data, TrainingData) else None
    if tokens is not None:
        config = tokens.told(family.config, config)
    if config.takes_ids:
        spec = spec.model_copy(update={"standardize": False})
    check()
    fitting = Fitting(spec, data, device, report, check, keeping or Keeping(), prior, strategy)
    # Seeded inside and restored after: other work of this process must not depend on which jobs it trained before.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(spec.seed)
        network, notes = _begun(fitting, family, config)
        fitted = fitting.run(network)
        network = strategy.plain(network, lambda: family.build(config, data.signature.width, data.outputs))
    module = assemble(network, fitted.standardize, unit_length=data.signature.task == "embedding")
    return TrainedModel(
        module=module.to("cpu").eval(),
        signature=data.signature,
        config=config,
        metrics=fitted.metrics,
        notes=(*data.notes, *notes, *fitted.notes),
        tokenizer=None if tokens is None else tokens.content,
        confusion=fitted.confusion,
    )


def _begun(fitting: Fitting, family: Family, config: FamilyConfig) -> tuple[nn.Module, tuple[str, ...]]:
    """The network with its initial weights, and what is to be said of them."""
    # Built on the CPU, so that the seed gives the same initial weights for every device.
    network = family.build(config, fitting.data.signature.width, fitting.data.outputs)
    initialize(network, fitting.spec)
    notes = fitting.prior.fill(network)
    freeze(network, fitting.spec.freeze)
    # FSDP shards no other layout than torch's own.
    if fitting.device.type == "cpu" and fitting.strategy.size == 1:
        channels_last(network, family)
    return network, tuple(notes)
