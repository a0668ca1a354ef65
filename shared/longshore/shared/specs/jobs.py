"""What a producer can ask for, and the states of it.

A spec is checked where it is made, kept as JSON with the job, and never changes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature


class State(StrEnum):
    """Of a job and of a shard: ``queued -> running -> succeeded | failed | cancelled``.

    A link of a chain begins as ``waiting``, and is queued when the job before it has succeeded.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Nothing changes it any more, but a retry."""
        return self in FINAL


FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

DataFormat = Literal["parquet", "csv", "jsonl", "arrow", "npy", "npz", "hdf5", "images"]


class Spec(BaseModel):
    """The base of what can be asked for: frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileInput(Spec):
    """Rows in a file that the workers can reach."""

    uri: str
    format: DataFormat
    #: Of an array, which names no columns (``npy``): the version's columns that its rows are split into.
    features: tuple[Feature, ...] | None = None
    #: Of a folder, a glob or an archive: the digest of its files' names and sizes, which must still be so when rows
    #: are read.
    listing: str | None = None
    #: Of a single file: its bytes, which must still be as many when it is opened to read rows.
    size: int | None = None


class InlineInput(Spec):
    """Rows that came with the call: rows ``offset`` to ``offset + rows`` of a block in the ledger or the store.

    Many small jobs share a block, so that ten thousand of them cost a few writes.
    """

    block: str
    offset: int
    rows: int


Input = FileInput | InlineInput

#: The options that a runtime decides by itself. Compiling gains little where nodes are run one by one.
_OWN: dict[str, tuple[str, ...]] = {"onnx": ("precision", "compile"), "pt2": ("compile",)}


class InferSpec(Spec):
    """Run one version over the rows of an input."""

    data: Input
    #: Rows in one forward pass. ``"auto"`` lets the worker learn what is fastest. Halved where memory runs out.
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = "auto"
    #: What the network computes in; ``auto`` takes the type of the version's weights.
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    #: Compile the network before the first batch (``torch.compile``).
    compile: bool = False
    #: Of classification and multilabel: also the k most probable classes, most probable first.
    top_k: Annotated[int, Field(ge=1, le=1000)] | None = None
    #: Also what the network puts out, before any postprocessing.
    logits: bool = False
    #: Of several labels a row: the probability from which on a label is given.
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    #: Outputs that are NaN or infinite are written as null; otherwise they are an error of their row.
    allow_nan: bool = False
    #: Rows that may fail, as a count or as a fraction below 1, for the job to be called succeeded all the same.
    max_row_errors: Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)] = 0
    #: Files to write, as ``folder/*.parquet`` or ``folder/*.jsonl``: one a shard.
    output: str | None = None
    #: Columns of the input that are carried into the output files.
    keep: tuple[str, ...] = ()
    #: Whether rows go into the table ``results``; ``None``: unless there are output files.
    results: bool | None = None
    #: Milliseconds that a small shard may wait for others to share its forward pass.
    max_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 0

    @field_validator("batch_size", mode="before")
    @classmethod
    def _read_none(cls, value: object) -> object:
        """``None`` is what ``"auto"`` was called in specs of release 0.1."""
        return "auto" if value is None else value

    def check(self, signature: Signature, runtime: str) -> None:
        """Whether a version can do what is asked.

        :param runtime: what executes it, as its manifest says.
        :raises InvalidInput: it cannot; names the option.
        """
        self.check_outputs(signature)
        for name in _OWN.get(runtime, ()):
            given = getattr(self, name)
            if given != type(self).model_fields[name].default:
                raise InvalidInput(name, f"{given!r}: a version of the runtime {runtime} has its own; leave it out")

    def check_outputs(self, signature: Signature) -> None:
        """The part of :meth:`check` that goes by what the version puts out.

        :raises InvalidInput: it does not put out what is asked for, or a column that is kept has the name of one that
            it does.
        """
        if self.top_k is not None and signature.labels is None:
            raise InvalidInput("top_k", f"{self.top_k}: the version's task is {signature.task}, which has no classes")
        if self.threshold != type(self).model_fields["threshold"].default and signature.task != "multilabel":
            raise InvalidInput("threshold", f"{self.threshold}: of multilabel alone, and the task is {signature.task}")
        for name in self.keep:
            if signature.task == "multilabel" and name in ("labels", "scores"):
                raise InvalidInput("keep", f"{name!r} is a column of the outputs; rename it in the data")

    @property
    def in_table(self) -> bool:
        """Whether rows go into the table ``results``."""
        return self.output is None if self.results is None else self.results


class EvaluateSpec(Spec):
    """Measure one version on rows whose targets are known."""

    data: Input
    #: The column that holds what should be predicted.
    target: str
    #: As of :class:`InferSpec`, these three.
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = False
    #: Resamples that the confidence intervals are taken from; 0 leaves them out.
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 1000
    #: The rows with the largest losses that are kept: so many.
    worst: Annotated[int, Field(ge=0, le=1000)] = 20
    #: Of the resamples.
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    #: Rows that may fail, as a count or as a fraction below 1, for the job to be called succeeded all the same.
    max_row_errors: Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)] = 0

    def inference(self) -> InferSpec:
        """How the version is run: it gives its logits, or its values."""
        return InferSpec(data=self.data, batch_size=self.batch_size, precision=self.precision, compile=self.compile)


class PromoteSpec(Spec):
    """Point an alias at the version of the job before."""

    alias: str
    #: Only if this condition on metrics holds; the job fails if not. See :mod:`longshore.shared.conditions.language`.
    condition: str | None = None


class JobOptions(Spec):
    """What every kind of job can be told besides its own spec."""

    #: 0 to 9; 9 is the most urgent.
    priority: Annotated[int, Field(ge=0, le=9)] = 4
    #: Which workers run it; ``auto`` takes a GPU worker if one is alive at submission, else a CPU worker.
    device: Literal["auto", "cpu", "gpu"] = "auto"
    #: Tries of one shard before it is given up.
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    #: Seconds from submission after which the job is ended; ``None`` for no limit. Of a link of a chain, from when the
    #: job before it has succeeded.
    timeout: Annotated[float, Field(gt=0, le=10 * 365 * 86400)] | None = None
    #: Rows in one shard; ``None`` chooses by the size of the input. Of inference only.
    rows_per_shard: Annotated[int, Field(ge=1)] | None = None
    #: A second submission by the same producer with the same key returns the first one's job.
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
