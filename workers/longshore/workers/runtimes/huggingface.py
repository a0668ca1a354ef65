"""Loads a version that is a Hugging Face folder: a text encoder with its tokenizer, run by PyTorch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import torch
from torch import nn
from torch.nn.functional import pad

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.huggingface.model import TextModel, read_model
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.workers.runtimes.base import Execution, PreparedRows, RowSelection
from longshore.workers.runtimes.given_tokens import TokenLimits, are_given, read_tokens
from longshore.workers.runtimes.pooling import SentenceHead, load_sentence_head
from longshore.workers.runtimes.tokenizer_files import load_tokenizer
from longshore.workers.runtimes.tokens import TextReader, TokenizationConfig, Tokens


class TextRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over texts.

    :param module: a network of the library transformers, on ``device``.
    :param head: computes embeddings from what the network returns, on ``device``; ``None`` if the network has a head.
    """

    def __init__(
        self,
        model: TextModel,
        reader: TextReader,
        module: nn.Module,
        head: SentenceHead | None,
        device: torch.device,
        execution: Execution,
    ) -> None:
        self.signature = model.signature
        self.statistics: tuple[ColumnStatistics, ...] = ()
        parts = (module,) if head is None else (module, head)
        self.nbytes = sum(tensor.nbytes for part in parts for tensor in (*part.parameters(), *part.buffers()))
        self._reader = reader
        self._head = head
        self._pad = int(getattr(module.config, "pad_token_id", None) or 0)
        self._device = device
        self._execution = execution
        self._takes_types = "token_type_ids" in inspect.signature(module.forward).parameters
        known = int(getattr(module.config, "type_vocab_size", None) or 0)
        self._limits = TokenLimits(model.max_tokens, int(module.config.vocab_size), known if self._takes_types else 0)  # type: ignore[union-attr, arg-type]
        if model.pairs is not None and self._takes_types and reader.pair_types > known:
            raise CorruptBlob(
                f"the tokenizer gives a pair {reader.pair_types} token types, but the network has {known}"
            )
        self._network: Callable[..., object] = torch.compile(module, dynamic=True) if execution.compile else module

    def prepare(self, batch: pa.RecordBatch) -> Tokens:
        """See :meth:`Runtime.prepare`."""
        return read_tokens(batch, self._limits) if are_given(batch) else self._reader.prepare(batch)

    @torch.inference_mode()
    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """See :meth:`Runtime.forward`. The batch is as long as its longest text."""
        if not isinstance(prepared, Tokens):
            raise TypeError(f"{type(prepared).__name__} was prepared by another runtime")
        padded, tokens = prepared.padded(places, self._pad)
        ids = torch.from_numpy(padded).to(self._device, non_blocking=True)
        # Attention is fastest without a mask.
        real = None if tokens.all() else torch.from_numpy(tokens).to(self._device, non_blocking=True)
        inputs = {"input_ids": ids, "attention_mask": None if real is None else real.long()}
        types = prepared.padded_types(places) if self._takes_types else None
        if types is not None:
            inputs["token_type_ids"] = torch.from_numpy(types).to(self._device, non_blocking=True)
        with self._execution.autocast(self._device):
            put = self._network(**inputs, return_dict=True)
        if self._head is None:
            logits: torch.Tensor = put.logits  # type: ignore[attr-defined]
            if self.signature.task != "tokens":
                return logits
            # All batches of a window are put together, so all are as long as its longest text.
            return pad(logits, (0, 0, 0, int(prepared.lengths.max()) - logits.shape[1]))
        vectors: torch.Tensor = put.last_hidden_state  # type: ignore[attr-defined]
        embeddings: torch.Tensor = self._head(vectors, real)
        return embeddings


def load(files: Mapping[str, Path], device: torch.device, execution: Execution | None = None) -> TextRuntime:
    """Check the files again, build the network and fill it.

    By default it computes in the type of its weights on a GPU, and in float32 on a CPU.

    :param files: local files by their path in the folder.
    :raises InvalidInput: this worker lacks transformers or tokenizers, or the folder cannot be run.
    :raises CorruptBlob: a file cannot be loaded or does not fit the other files.
    """
    # Imported here because the import takes seconds and most workers never need it.
    from longshore.workers.runtimes.encoder import build_encoder

    execution = execution or Execution()
    model = read_model(files, "model")
    reader = read_texts(model, files)
    dtype = None if device.type == "cuda" and execution.precision == "auto" else torch.float32
    module = build_encoder(model, files, dtype).to(device)
    head = None
    if model.sentence is not None:
        head = load_sentence_head(model.sentence, files, reader.prompt_tokens).to(device)
    runtime = TextRuntime(model, reader, module, head, device, execution)
    if execution.compile:
        _try(runtime)
    return runtime


def read_texts(model: TextModel, files: Mapping[str, Path]) -> TextReader:
    """The tokenizer of a model; see :func:`~longshore.workers.runtimes.tokenizer_files.load_tokenizer`."""
    loaded = load_tokenizer(model, files)
    config = TokenizationConfig(
        model.signature,
        model.max_tokens,
        keep_end=loaded.keep_end,
        prompt=model.prompt,
        types=loaded.types and model.pairs is not None,
        special=loaded.special,
        places=model.network.head == "tokens",
        unknown=loaded.unknown,
    )
    return TextReader(loaded.tokenizer, config)


def _try(runtime: TextRuntime) -> None:
    """:raises InvalidInput: the network cannot be compiled here."""
    try:
        texts = {feature.name: ["a", "b c"] for feature in runtime.signature.features}
        runtime.forward(runtime.prepare(pa.record_batch(texts)), slice(0, 2))
    except Exception as error:  # errors of the compiler and of the libraries it calls
        raise InvalidInput(
            "compile", f"this worker cannot compile the network; leave it out ({type(error).__name__})"
        ) from error
