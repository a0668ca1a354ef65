"""Loads a version that is an ONNX program, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.onnx.program import read_program
from longshore.shared.model_formats.program_io import ProgramIO
from longshore.shared.specs.signature import Signature
from longshore.shared.store.manifest import Manifest
from longshore.workers.runtimes.base import Execution
from longshore.workers.runtimes.network import NetworkRuntime, activation_notes, check_shape, to_logits
from longshore.workers.runtimes.row_check import ALONE_NOTE, RANDOM_REASON, check_rows

Array = npt.NDArray[np.float32]
#: Log level of ONNX Runtime: errors. Its warnings are about missed optimisations.
_LOG_ERRORS = 3


class Session(Protocol):
    """The part of ONNX Runtime's ``InferenceSession`` that is used here."""

    def run(self, output_names: list[str], input_feed: dict[str, Array]) -> list[Array]:
        """Compute the named outputs from the named inputs."""


class OnnxNetwork:
    """A loaded program as a function: float32 ``(n, width)`` to ``(n, outputs)``, both on the CPU."""

    def __init__(self, session: Session, program: ProgramIO, signature: Signature) -> None:
        self._session = session
        self._program = program
        #: Outputs per row; ``None`` for an embedding, which can have any width.
        self._outputs = signature.outputs
        #: Whether each row is run on its own.
        self.alone = program.batch == 1
        self._signature = signature

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """:raises InvalidInput: the program fails on these rows, or its output has another shape."""
        n = len(rows)
        if n == 0:
            # Programs are rarely tested without rows, and some divide by the number of rows.
            return torch.empty((0, self._outputs or 1))
        batch = rows.numpy().reshape(n, *self._program.row_shape)
        if self.alone:
            return torch.cat([self._run(batch[row : row + 1]) for row in range(n)])
        return self._run(batch)

    def _run(self, batch: Array) -> torch.Tensor:
        try:
            [output] = self._session.run([self._program.output.name], {self._program.input.name: batch})
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise InvalidInput("model", f"the ONNX program fails on {len(batch)} rows: {error}") from error
        check_shape(output.shape, len(batch), self._outputs, "the ONNX program")
        outputs = torch.from_numpy(output.reshape(len(batch), -1))
        return to_logits(outputs, self._program.activation, self._signature)


def load(manifest: Manifest, weights: Path, execution: Execution | None = None) -> NetworkRuntime:
    """Check a program and open it. It runs on the CPU, for any device of the worker.

    :param weights: the ONNX file that ``manifest.weights`` names.
    :param execution: must be the default; the program fixes its precision and compilation.
    :raises InvalidInput: the worker has no ONNX Runtime, ``execution`` is not the default, or the program does not fit
        the signature.
    :raises CorruptBlob: ONNX Runtime cannot load it.
    """
    if execution not in (None, Execution()):
        raise InvalidInput("precision", "an ONNX program has its own, and is compiled already; leave both options out")
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise CorruptBlob(f"{weights} cannot be read: {error.strerror}") from error
    # The checked bytes are loaded, and the file is not read again. A program loaded from bytes cannot read files next
    # to it either.
    program = read_program(content, manifest.signature, "model")
    network = OnnxNetwork(_open(content), program, manifest.signature)
    cpu = torch.device("cpu")
    effect = check_rows(network, manifest.signature.width, cpu)
    if effect == "random":
        raise InvalidInput("model", f"the ONNX program {RANDOM_REASON}")
    network.alone = network.alone or effect == "mixed"
    notes = activation_notes(program.activation, manifest.signature)
    notes += (ALONE_NOTE,) if effect == "mixed" else ()
    return NetworkRuntime(network, len(content), manifest.signature, cpu, notes=notes)


def _open(content: bytes) -> Session:
    try:
        import onnxruntime
    except ImportError as error:
        raise InvalidInput(
            "runtime", f"ONNX Runtime is not installed on this worker; pip install 'longshore[onnx]' ({error})"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    options.intra_op_num_threads = torch.get_num_threads()
    # Spinning threads would take cores from the threads that read and write.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session: Session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise CorruptBlob(f"ONNX Runtime cannot load the program: {error}") from error
    return session
