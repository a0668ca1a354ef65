"""Loads a version that is a program of ``torch.export``, run by PyTorch without ``torch.export.load``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.program_io import ProgramIO
from longshore.shared.model_formats.pt2.program import PROGRAM, WEIGHTS, Program
from longshore.shared.model_formats.pt2.reading import check_files
from longshore.shared.specs.signature import Signature
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.weights import read_weights
from longshore.workers.models.error_kinds import is_out_of_memory, reason
from longshore.workers.runtimes.base import Execution
from longshore.workers.runtimes.graph import Graph
from longshore.workers.runtimes.network import NetworkRuntime, check_shape
from longshore.workers.runtimes.output_kinds import resolve_kind, to_logits
from longshore.workers.runtimes.row_check import RANDOM_REASON, Forward, check_rows, trial_matrices

#: Rows of the trial run, which checks that the program can run.
_TRIAL = 2
#: Parts of the names of operators that take indexes. On a GPU an index that is out of range ends the process.
_INDEXING = ("embedding", "index", "gather", "scatter", "take", "one_hot")


class ProgramNetwork:
    """A program as a function: ``(n, width)``, of the type that it takes, to ``(n, outputs)``.

    :param graph: takes between ``program.min_rows`` and ``program.max_rows`` rows.
    """

    def __init__(
        self, graph: Callable[[torch.Tensor], torch.Tensor], program: Program, ends: ProgramIO, signature: Signature
    ) -> None:
        self._graph = graph
        self._least, self._most = program.min_rows, program.max_rows
        self._row_shape = ends.input.row_shape
        #: Outputs per row; ``None`` for an embedding, which can have any width.
        self._outputs = signature.outputs
        #: With the kind of the outputs.
        self.signature = signature

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """The logits of a classification, whatever its outputs are; otherwise the outputs.

        :raises InvalidInput: the output of the program has another shape.
        """
        return to_logits(self.outputs(rows), self.signature.output_kind, self.signature)

    def outputs(self, rows: torch.Tensor) -> torch.Tensor:
        """The outputs of the program.

        :raises InvalidInput: they have another shape.
        """
        if len(rows) == 0:
            # Programs are rarely tested without rows, and some divide by the number of rows.
            return rows.new_empty((0, self._outputs or 1))
        shaped = rows.reshape(len(rows), *self._row_shape)
        if self._most is None or len(rows) <= self._most:
            return self._run(shaped)
        return torch.cat([self._run(part) for part in torch.split(shaped, self._most)])

    def run_alone(self) -> None:
        """Run each row on its own.

        :raises InvalidInput: the program takes two rows or more.
        """
        if self._least > 1:
            raise InvalidInput(
                "model",
                "the program combines the rows of a batch, so the outputs of a row depend on the others; write the "
                "network without it, or export it from an example of one row without dynamic_shapes",
            )
        self._most = 1

    def _run(self, rows: torch.Tensor) -> torch.Tensor:
        n = len(rows)
        if n < self._least:  # exported for two rows or more: repeat the last row and drop its outputs
            rows = torch.cat([rows, rows[-1:].expand(self._least - n, *self._row_shape)])
        output = self._graph(rows)
        check_shape(tuple(output.shape), len(rows), self.signature, "the program")
        return output.reshape(len(rows), -1)[:n]


def load(
    manifest: Manifest, files: Mapping[str, Path], device: torch.device, execution: Execution | None = None
) -> NetworkRuntime:
    """Check a program, fill it with its weights, and run it once.

    :param files: local files by their path in the version's folder.
    :raises InvalidInput: the program does not fit the signature or fails on rows of zeros, or ``execution`` compiles.
    :raises CorruptBlob: the weights cannot be read.
    """
    execution = execution or Execution()
    if execution.compile:
        # PyTorch caches compiled code by kind of module; here every program would compile again, up to PyTorch's limit.
        raise InvalidInput("compile", "a program of torch.export is run node by node; leave it out")
    program, ends, signature = check_files(files, manifest.signature, "model")
    weights = {name: tensor.to(device) for name, tensor in read_weights(files[WEIGHTS]).items()}
    graph = Graph(program, weights, device).eval()
    nbytes = sum(tensor.nbytes for tensor in weights.values())
    network = ProgramNetwork(graph, program, ends, signature)
    kind = getattr(torch, ends.input.dtype)
    _try(network, signature, device, execution, kind)
    indexes = any(name in node.target for node in program.nodes for name in _INDEXING)
    trials = trial_matrices(signature.width, ids_only=indexes or not kind.is_floating_point)
    check = check_rows(_window(network, rows.to(device, kind)) for rows in trials)
    if check.effect == "random":
        raise InvalidInput("model", f"the program {RANDOM_REASON}")
    if check.effect == "mixed":
        network.run_alone()
    resolved = resolve_kind(signature, ends.ending, check.outputs, has_label=False)
    network.signature = signature.model_copy(update={"output_kind": resolved.kind})
    notes = (*check.notes, *resolved.notes)
    return NetworkRuntime(network, nbytes, network.signature, device, execution, notes)


def _window(network: ProgramNetwork, rows: torch.Tensor) -> Forward:
    return lambda places: network.outputs(rows[places.to(rows.device)])


def _try(
    network: ProgramNetwork, signature: Signature, device: torch.device, execution: Execution, kind: torch.dtype
) -> None:
    """:raises InvalidInput: the program fails on rows of zeros."""
    try:
        with torch.inference_mode(), execution.autocast(device):
            network(torch.zeros((_TRIAL, signature.width), dtype=kind, device=device))
    except InvalidInput:
        raise
    except Exception as error:  # operators can raise anything
        if is_out_of_memory(error) or isinstance(error, torch.AcceleratorError):
            raise
        raise InvalidInput("model", f"{PROGRAM} cannot be run: {reason(error)}") from error
