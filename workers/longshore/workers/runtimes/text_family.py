"""Loads a version that is the network of a family over texts: a tokenizer and weights, run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import torch
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.store.manifest import CONTENT_FILES, Manifest
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.runtimes.base import Execution, PreparedRows, RowSelection
from longshore.workers.runtimes.family import build_module
from longshore.workers.runtimes.tokens import TextReader, TokenizationConfig, Tokens, parse_tokenizer

#: The token id of padding, which also stands for a text without tokens.
PADDING = 0


class TextFamilyRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over texts.

    :param module: on ``device``: token ids as float32 ``(n, length)``, padded with 0, to ``(n, outputs)``.
    """

    def __init__(
        self, module: nn.Module, reader: TextReader, signature: Signature, device: torch.device, execution: Execution
    ) -> None:
        self.signature = signature
        self.statistics: tuple[ColumnStatistics, ...] = ()
        self.nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        self._reader = reader
        self._device = device
        self._execution = execution
        self._network: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(module, dynamic=True) if execution.compile else module
        )

    def prepare(self, batch: pa.RecordBatch) -> Tokens:
        """See :meth:`Runtime.prepare`."""
        return self._reader.prepare(batch)

    @torch.inference_mode()
    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """See :meth:`Runtime.forward`. The batch is as long as its longest text."""
        if not isinstance(prepared, Tokens):
            raise TypeError(f"{type(prepared).__name__} was prepared by another runtime")
        padded, _ = prepared.padded(places, PADDING)
        rows = torch.from_numpy(padded).to(torch.float32).to(self._device, non_blocking=True)
        with self._execution.autocast(self._device):
            return self._network(rows)


def make_reader(content: str, signature: Signature, field: str) -> TextReader:
    """Create the tokenizer of a family.

    :param content: the content of ``tokenizer.json``.
    :param field: the field that the error names.
    :raises InvalidInput: this worker has no tokenizers.
    :raises CorruptBlob: ``content`` is no valid tokenizer.
    """
    try:
        tokenizer = parse_tokenizer(content)
        return TextReader(tokenizer, TokenizationConfig(signature, signature.width, empty=PADDING))
    except ImportError as error:
        raise missing(field, error) from error


def missing(field: str, error: ImportError) -> InvalidInput:
    """The error for a worker without the library tokenizers."""
    return InvalidInput(field, f"tokenizers is not installed on this worker; pip install 'longshore[text]' ({error})")


def load(
    manifest: Manifest, files: Mapping[str, Path], device: torch.device, execution: Execution
) -> TextFamilyRuntime:
    """Load a version on a device; see :func:`~longshore.workers.runtimes.family.build_module`.

    :param files: local files by their path in the version's folder.
    :raises InvalidInput: this worker has no tokenizers, or cannot build or compile the network.
    :raises CorruptBlob: a file cannot be loaded.
    """
    try:
        content = files[TOKENIZER_FILE].read_text("utf-8")
    except (OSError, ValueError) as error:
        raise CorruptBlob(f"{files[TOKENIZER_FILE]} cannot be read: {error}") from error
    reader = make_reader(content, manifest.signature, "runtime")
    module = build_module(manifest, files[CONTENT_FILES[RuntimeName.FAMILY]]).to(device)
    runtime = TextFamilyRuntime(module, reader, manifest.signature, device, execution)
    if execution.compile:
        _try(runtime)
    return runtime


def _try(runtime: TextFamilyRuntime) -> None:
    """:raises InvalidInput: the network cannot be compiled here."""
    name = runtime.signature.features[0].name
    try:
        runtime.forward(runtime.prepare(pa.record_batch({name: ["a", "b c"]})), slice(0, 2))
    except Exception as error:  # errors of the compiler and of the libraries it calls
        raise InvalidInput(
            "compile", f"this worker cannot compile the network; leave it out ({type(error).__name__})"
        ) from error
