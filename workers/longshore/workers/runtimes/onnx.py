"""Loads a version that is an ONNX program, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch

from longshore.shared.datasets.columns.tensors import Tensor, to_tensors
from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.model_formats.onnx.outputs import with_outputs
from longshore.shared.model_formats.onnx.program import OnnxProgram, read_program
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.store.manifest import CONTENT_FILES, Manifest
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.runtimes.base import Execution, PreparedRows, RowSelection
from longshore.workers.runtimes.network import check_shape
from longshore.workers.runtimes.output_kinds import resolve_kind, to_logits
from longshore.workers.runtimes.row_check import RANDOM_REASON, TRIAL_ROWS, Forward, RowCheck, check_rows
from longshore.workers.runtimes.trial_rows import trial_tensors

#: Log level of ONNX Runtime: errors. Its warnings are about missed optimisations.
_LOG_ERRORS = 3


class Session(Protocol):
    """The part of ONNX Runtime's ``InferenceSession`` that is used here."""

    def run(self, output_names: list[str], input_feed: dict[str, Tensor]) -> list[Tensor]:
        """Compute the named outputs from the named inputs."""


class ProgramRows:
    """A window of rows of tensors; see :class:`~longshore.workers.runtimes.base.PreparedRows`."""

    lengths = None

    def __init__(self, values: Mapping[str | None, Tensor], errors: dict[int, str], notes: tuple[str, ...]) -> None:
        #: By input: ``(n, width)``.
        self.values = values
        self.errors = errors
        self.notes = notes

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))


class OnnxNetwork:
    """A loaded program as a function of the values of each input, ``(n, width)``."""

    def __init__(self, session: Session, program: OnnxProgram) -> None:
        self._session = session
        self._io = program.io
        self._signature = program.signature
        #: The index of each label of the program, if it puts out the label of a row.
        self._indexes = {label: index for index, label in enumerate(program.classes.labels if program.classes else ())}
        names = (program.io.output.name, program.signature.label_output)
        self._names = [name for name in names if name is not None]
        #: Whether each row is run on its own.
        self.alone = program.io.batch == 1

    def __call__(self, values: Mapping[str | None, Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run rows: their outputs, ``(n, outputs)``, and the indexes of their labels, ``(n,)``, if it has them.

        :raises InvalidInput: the program fails on these rows, or its output has another shape.
        """
        n = len(next(iter(values.values())))
        if n == 0:
            # Programs are rarely tested without rows, and some divide by the number of rows.
            none = None if self._signature.label_output is None else torch.empty(0)
            return torch.empty((0, self._signature.outputs or 1)), none
        feed = {each.name: values[key].reshape(n, *each.row_shape) for key, each in self._io.inputs.items()}
        if not self.alone:
            return self._run(feed, n)
        rows = [self._run({name: each[row : row + 1] for name, each in feed.items()}, 1) for row in range(n)]
        labels = [label for _, label in rows if label is not None]
        return torch.cat([output for output, _ in rows]), torch.cat(labels) if labels else None

    def _run(self, feed: dict[str, Tensor], rows: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        try:
            output, *labels = self._session.run(self._names, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise InvalidInput("model", f"the ONNX program fails on {rows} rows: {error}") from error
        check_shape(output.shape, rows, self._signature, "the ONNX program")
        output = output.reshape(rows, -1)
        outputs = torch.from_numpy(output if output.dtype.kind == "f" else output.astype(np.float64))
        return outputs, self._index(labels[0], rows) if labels else None

    def _index(self, labels: Tensor, rows: int) -> torch.Tensor:
        values, places = np.unique(labels, return_inverse=True)
        if labels.size != rows or not all(value in self._indexes for value in values.tolist()):
            raise InvalidInput("model", f"the ONNX program put out labels that it does not name: {values[:5].tolist()}")
        return torch.tensor([self._indexes[value] for value in values.tolist()])[torch.from_numpy(places.reshape(-1))]


class OnnxRuntime:
    """A :class:`~longshore.workers.runtimes.base.Runtime` over an ONNX program.

    :raises InvalidInput: the program gives different outputs for the same rows, or not those that its signature says.
    """

    def __init__(self, network: OnnxNetwork, program: OnnxProgram, nbytes: int) -> None:
        self.nbytes = nbytes
        self.statistics: tuple[ColumnStatistics, ...] = ()
        self._network = network
        self._program = program
        self._fresh = True
        windows = list(trial_tensors(program.signature, program.vocabulary))
        check = check_rows(self._forward(values) for values in windows)
        self._apply(check)
        self._reversed = self.signature.output_kind == "scores" and self._are_reversed(windows)

    def _apply(self, check: RowCheck) -> None:
        """Use what trial rows show."""
        if check.effect == "random":
            raise InvalidInput("model", f"the ONNX program {RANDOM_REASON}")
        self._network.alone = self._network.alone or check.effect == "mixed"
        signature = self._program.signature
        # Scores are written in another way than logits, which is settled when a job begins.
        has_label = signature.label_output is not None and self._fresh
        resolved = resolve_kind(signature, self._program.io.ending, check.outputs, has_label=has_label)
        #: With the kind of the outputs.
        self.signature = signature.model_copy(update={"output_kind": resolved.kind})
        self._fresh, self._checked = False, check.effect is not None
        self._notes = (*check.notes, *resolved.notes)

    def prepare(self, batch: pa.RecordBatch) -> ProgramRows:
        """See :meth:`Runtime.prepare`. If the program fails on trial rows, the first rows that are good are tried."""
        tensors = to_tensors(batch, self.signature)
        if not self._checked:
            good = np.setdiff1d(np.arange(batch.num_rows), list(tensors.errors))
            if len(good):
                places = np.resize(good, TRIAL_ROWS)
                check = check_rows([self._forward({name: each[places] for name, each in tensors.values.items()})])
                self._apply(check)
        return ProgramRows(tensors.values, tensors.errors, (*self._notes, *tensors.notes))

    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        """See :meth:`Runtime.forward`."""
        if not isinstance(prepared, ProgramRows):
            raise TypeError(f"{type(prepared).__name__} was prepared by another runtime")
        outputs, labels = self._network({name: values[places] for name, values in prepared.values.items()})
        outputs = to_logits(outputs, self.signature.output_kind, self.signature)
        outputs = outputs.flip(1) if self._reversed else outputs
        return outputs if labels is None else torch.cat([outputs, labels.to(outputs.dtype)[:, None]], dim=1)

    def _are_reversed(self, windows: Sequence[Mapping[str | None, Tensor]]) -> bool:
        """Whether the scores of two classes are in the wrong order, as programs of support vector machines have them:
        the label of every row is that of the smaller score."""
        if self.signature.outputs != 2 or self.signature.label_output is None:
            return False
        pairs = []
        for values in windows:
            with suppress(InvalidInput):  # not made for such rows
                outputs, labels = self._network(values)
                if labels is not None:
                    pairs.append((to_logits(outputs, "scores", self.signature), labels))
        return bool(pairs) and all(torch.equal(outputs.argmin(dim=1), labels) for outputs, labels in pairs)

    def _forward(self, values: Mapping[str | None, Tensor]) -> Forward:
        return lambda places: self._network({name: each[places.numpy()] for name, each in values.items()})[0]


def load(manifest: Manifest, files: Mapping[str, Path], execution: Execution | None = None) -> OnnxRuntime:
    """Check a program and open it. It runs on the CPU, for any device of the worker.

    :param files: local files by their path in the version's folder.
    :param execution: must be the default; the program fixes its precision and compilation.
    :raises InvalidInput: the worker has no ONNX Runtime, ``execution`` is not the default, or the program does not fit
        the signature.
    :raises CorruptBlob: ONNX Runtime cannot load it.
    """
    if execution not in (None, Execution()):
        raise InvalidInput("precision", "an ONNX program has its own, and is compiled already; leave both options out")
    weights = files[CONTENT_FILES[RuntimeName.ONNX]]
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise CorruptBlob(f"{weights} cannot be read: {error.strerror}") from error
    program = read_program(content, manifest.signature, "model")
    if set(program.external) != set(manifest.files):
        raise InvalidInput("model", "the ONNX program does not store its tensors in the files of the version")
    nbytes = len(content) + sum(blob.size for blob in manifest.files.values())
    if program.hidden_output:
        labels = program.signature.label_output
        content = with_outputs(content, [program.io.output.name, *([] if labels is None else [labels])])
    # The checked bytes are loaded, and the file is not read again.
    with tempfile.TemporaryDirectory(prefix="longshore-onnx-") as folder:
        for location in program.external:
            _place(files[location], Path(folder) / location)
        session = _open(content, folder)
    return OnnxRuntime(OnnxNetwork(session, program), program, nbytes)


def _place(file: Path, target: Path) -> None:
    """Give a file a second name, in a folder that has nothing but the files of the version."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:  # another file system
        shutil.copyfile(file, target)


def _open(content: bytes, folder: str) -> Session:
    """:param folder: the only folder from which ONNX Runtime reads files."""
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
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    try:
        session: Session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise CorruptBlob(f"ONNX Runtime cannot load the program: {error}") from error
    return session
