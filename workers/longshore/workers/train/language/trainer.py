"""A whole training of a language model: from the rows of a job to a model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.model import TOKENIZER_FILES
from longshore.shared.specs.families import CausalLmConfig, LanguageConfig, LoraConfig
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.shared.store.store import Store
from longshore.workers.families.registry import get_family
from longshore.workers.generate.version import LanguageVersion
from longshore.workers.train.language.base import BaseVersion, load_model
from longshore.workers.train.language.documents import DocumentReader
from longshore.workers.train.language.network import CausalNetwork, keeps_texts_apart
from longshore.workers.train.language.networks import add_adapter, build_decoder
from longshore.workers.train.language.objectives import FIELDS, Fill, Objective, next_tokens, preferences
from longshore.workers.train.language.pairs import PairReader
from longshore.workers.train.language.preference import PreferenceNetwork
from longshore.workers.train.language.read_texts import TextStreams
from longshore.workers.train.language.result import TrainedLanguageModel
from longshore.workers.train.language.token_store import TokenizedTexts
from longshore.workers.train.language.tokenizer import (
    LanguageTokenizer,
    tokenizer_files,
    tokenizer_of,
    train_language_tokenizer,
)
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.early_stopping import EarlyStopping
from longshore.workers.train.loop.initialize import initialize
from longshore.workers.train.loop.loop import TrainingLoop
from longshore.workers.train.loop.lr_schedule import LRSchedule
from longshore.workers.train.loop.optimizers import make_optimizer
from longshore.workers.train.loop.pretrained import freeze
from longshore.workers.train.loop.run import run_loop, run_test

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

#: Tokens of a block, unless ``context`` says otherwise or the base reads fewer.
DEFAULT_CONTEXT = 512
_TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class Bases:
    """The versions that a training uses; none by default."""

    base: BaseVersion | None = None
    #: The version whose tokenizer is used.
    tokenizer: BaseVersion | None = None


def load_bases(spec: TrainSpec, store: Store) -> Bases:
    """Find the versions that ``spec`` names."""
    base = tokenizer = None
    if spec.base_digest is not None:
        base = BaseVersion(spec.base or spec.base_digest, store.get_manifest(spec.base_digest), store)
    if spec.tokenizer_digest is not None and spec.tokenizer is not None:
        name = spec.tokenizer.version or spec.tokenizer_digest
        tokenizer = BaseVersion(name, store.get_manifest(spec.tokenizer_digest), store)
    return Bases(base, tokenizer)


def train_language_model(
    spec: TrainSpec, streams: TextStreams, context: TrainingContext, bases: Bases
) -> TrainedLanguageModel:
    """Train what ``spec`` asks for. The seed decides the split, the first weights, the order and the dropout.

    Two runs on the CPU with the same number of threads end with the same bits. The state of torch's global generators
    does not change.

    :raises InvalidInput: the spec does not fit the rows or the base, a row is bad, the loss is no longer finite, or the
        run does not fit the memory of the device.
    """
    config = build(get_family(spec.family).config, spec.config, "config.")
    assert isinstance(config, LanguageConfig)
    with (
        tempfile.TemporaryDirectory(prefix="longshore-") as folder,
        torch.random.fork_rng(devices=[context.device] if context.device.type == "cuda" else []),
    ):
        torch.manual_seed(spec.seed)
        run = _LanguageRun(spec, config, streams, context, bases, Path(folder))
        try:
            return run.train()
        except torch.OutOfMemoryError as error:
            raise InvalidInput(
                "batch_size",
                f"{spec.batch_size} blocks and the network's work do not fit the memory of {context.device}; use "
                "smaller batches with accumulate, a smaller config.context, or config.gradient_checkpointing=true",
            ) from error


@dataclass(frozen=True)
class _LanguageRun:
    spec: TrainSpec
    config: LanguageConfig
    streams: TextStreams
    context: TrainingContext
    bases: Bases
    folder: Path

    def train(self) -> TrainedLanguageModel:
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model, adapter, tokenizer, context = self._prepare()
        # The tokenizer can have more.
        vocabulary = int(model.config.get_text_config().vocab_size)
        # Weights of a base are stored in the type that they had.
        stored = model.dtype
        if adapter is None or self.spec.precision == "fp32":
            nn.Module.to(model, dtype=torch.float32)
        trained, pairs = model if adapter is None else adapter, self.spec.task == "preference"
        network = PreferenceNetwork(trained) if pairs else CausalNetwork(trained, packing=self.config.packing)
        self.context.strategy.prepare(network, self.context.device, self.spec.seed)
        notes = self._settle_packing(network, vocabulary)
        if self.config.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        objective = self._objective(network, tokenizer, context, vocabulary)
        loop = self._loop(network, objective)
        result = run_loop(loop, self.context)
        metrics = dict(result.metrics)
        if objective.test is not None:
            metrics |= run_test(loop, self.context, objective.test)
        network.to("cpu").eval()
        return TrainedLanguageModel(
            model=model if adapter is not None else nn.Module.to(model, dtype=stored),
            adapter=adapter,
            tokenizer=tokenizer_files(self.folder / _TOKENIZER, tokenizer, TOKENIZER_FILES, context)
            if self.bases.base is None
            else {},
            base=self.bases.base,
            metrics=metrics,
            notes=(*result.notes, *objective.notes, *notes),
            summary=result.summary,
        )

    def _settle_packing(self, network: CausalNetwork, vocabulary: int) -> tuple[str, ...]:
        """Have a block for each text if the architecture does not keep them apart. Returns notes.

        :raises InvalidInput: blocks with several texts were asked for.
        """
        if not network.packing or keeps_texts_apart(network, vocabulary):
            return ()
        fault = "the architecture of the base does not keep the texts of a block apart"
        if "packing" in self.spec.config:
            raise InvalidInput("config.packing", f"true: {fault}; leave it out, or give false")
        network.packing = False
        return (f"{fault}, so that each text has a block of its own (config.packing is false)",)

    def _prepare(self) -> tuple[PreTrainedModel, PeftModel | None, LanguageTokenizer, int]:
        """The model, its adapter, the tokenizer, and the tokens of a block."""
        spec, base = self.spec, self.bases.base
        if base is None:
            assert isinstance(self.config, CausalLmConfig)
            context = self.config.context or DEFAULT_CONTEXT
            tokenizer = self._own_tokenizer(context)
            decoder = build_decoder(self.config, context, tokenizer)
            initialize(decoder, spec)
            freeze(decoder, spec.freeze)
            return decoder, None, tokenizer, context
        version = base.open_decoder(self.folder)
        tokenizer, context = tokenizer_of(version), self._context(version, base.name)
        model = load_model(version.model.folder, base.name)
        if isinstance(self.config, LoraConfig):
            return model, add_adapter(model, self.config, base.name), tokenizer, context
        freeze(model, spec.freeze)
        return model, None, tokenizer, context

    def _context(self, version: LanguageVersion, name: str) -> int:
        limit = version.model.max_model_len
        context = self.config.context or min(DEFAULT_CONTEXT, limit)
        if context > limit:
            raise InvalidInput("config.context", f"{context}: {name} reads at most {limit} tokens; give less")
        return context

    def _own_tokenizer(self, context: int) -> LanguageTokenizer:
        folder = self.folder / _TOKENIZER
        if self.bases.tokenizer is not None:
            version = self.bases.tokenizer.open(self.folder)
            folder.symlink_to(version.model.folder)
            return tokenizer_of(version)
        options = self.spec.tokenizer or Tokenizer(kind="bpe", lowercase=False)
        return train_language_tokenizer(options, self.streams.texts(), folder, context)

    def _objective(
        self, network: CausalNetwork, tokenizer: LanguageTokenizer, context: int, vocabulary: int
    ) -> Objective:
        """The rows as the network reads them.

        :param vocabulary: tokens of the network.
        """
        reader, spec = DocumentReader(tokenizer, self.streams.layout), self.spec
        fill = Fill(context, network.packing, tokenizer.end or 0, self.context.device)
        if self.streams.layout == "preference":
            pairs = PairReader(reader, context, spec.truncate_prompt)
            texts = self.streams.tokenize_pairs(pairs, self.folder)
            _check_tokens(texts, vocabulary)
            return preferences(spec, texts, fill, network, self.context.check)
        texts = self.streams.tokenize(reader, self.folder)
        _check_tokens(texts, vocabulary)
        return next_tokens(spec, texts, fill, network)

    def _loop(self, network: CausalNetwork, objective: Objective) -> TrainingLoop:
        spec = self.spec
        optimizer = make_optimizer(spec, network)
        steps = spec.epochs * -(-objective.rows.count // (spec.batch_size * spec.accumulate))
        changes = spec.schedule != "constant" or spec.warmup_steps
        return TrainingLoop(
            spec=spec,
            context=self.context,
            network=network,
            optimizer=optimizer,
            loss=objective.loss,
            rows=objective.rows,
            evaluators=objective.evaluators,
            schedule=LRSchedule(spec, optimizer, steps) if changes else None,
            early_stopping=None if spec.early_stopping is None else EarlyStopping(spec.early_stopping, spec.monitor),
        )


def _check_tokens(texts: Mapping[int, TokenizedTexts], vocabulary: int) -> None:
    for part, name in FIELDS.items():
        if (largest := int(texts[part].tokens.max(initial=0))) >= vocabulary:
            raise InvalidInput(
                name,
                f"its texts have the token {largest} of the tokenizer, but the network has {vocabulary} tokens; "
                "leave out the text of this token",
            )
