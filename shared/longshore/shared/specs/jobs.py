"""The specs of inference, evaluation and promotion, and the options of every job.

A spec is checked where it is made. It is stored as JSON with the job and never changes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, StrictBool, StrictInt, StrictStr, field_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.specs.positive import PROBABILITY, PositiveClass, read_positive
from longshore.shared.specs.signature import Feature, Signature, Task
from longshore.shared.vocabulary import Aggregation, DataFormat, Device, Precision, RuntimeName

#: Options of an evaluation that only language models have, and that they have not.
_OF_LANGUAGE_MODELS = ("max_tokens", "temperature", "system", "stop", "json_schema", "perplexity", "against", "judge")
_OF_NETWORKS = ("batch_size", "precision", "compile", "positive", "threshold")


class FileInput(Spec):
    """Rows in a file that the workers can reach."""

    uri: str
    format: DataFormat
    #: Only for an array, which has no column names (``npy``): the columns of the version that its rows are split into.
    features: tuple[Feature, ...] | None = None
    #: Only for a folder, a glob or an archive: the digest of the names and sizes of its files. Reading fails if they
    #: have changed.
    listing: str | None = None
    #: Only for a single file: its size in bytes. Reading fails if it has changed.
    size: int | None = None


class InlineInput(Spec):
    """Rows that came with the call: rows ``offset`` to ``offset + rows`` of a block in the ledger or the store.

    Many small jobs share a block, so that ten thousand of them cost a few writes.
    """

    block: str
    offset: int
    rows: int


Input = FileInput | InlineInput

#: A class by its value or its text.
Positive = Annotated[StrictBool | StrictInt | StrictStr | None, Option(metavar="CLASS", reader="text")]

#: The options that a runtime decides by itself. Compiling gains little if nodes run one by one.
_OWN: dict[str, tuple[str, ...]] = {
    RuntimeName.ONNX: ("precision", "compile"),
    RuntimeName.PT2: ("compile",),
}


class InferSpec(Spec):
    """Run one version over the rows of an input."""

    data: Annotated[Input, NOT_AN_OPTION]
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"], Option(metavar="ROWS|auto", reader="int_or_auto")
    ] = "auto"
    """Rows in one forward pass. ``auto`` lets the worker find the fastest size. It is halved if memory runs out."""
    precision: Precision = "auto"
    """The type in which the network computes. ``auto`` is the type of the version's weights."""
    compile: bool = False
    """Compile the network before the first batch (torch.compile)."""
    top_k: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Option(metavar="K")] = None
    """Only for classification and multilabel: also return the K most probable classes, most probable first."""
    logits: bool = False
    """Also return the output of the network before any postprocessing."""
    positive: Positive = None
    """Only for classification with two classes: also return the probability of this class, as ``probability``. Text
    such as True also names a class that is no text.
    """
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """For multilabel: the least probability of a label that is returned. With ``positive``: the least probability of
    that class at which it is the label, above 0 and below 1; at 0.5 the label is the more probable class.
    """
    aggregation: Aggregation = "simple"
    """Only for token classification: how the labels of tokens become spans. ``none``: each token is one. ``simple``:
    tokens that follow each other with the same label are one. ``first``, ``average`` and ``max`` give each word one
    label before: that of its first token, of the mean of the scores, or of the token with the largest score.
    """
    allow_nan: bool = False
    """Write outputs that are NaN or infinite as null. Otherwise such a row has an error."""
    max_row_errors: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)],
        Option(metavar="N", reader="count_or_fraction"),
    ] = 0
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1."""
    output: Annotated[str | None, Option(metavar="PATTERN")] = None
    """Files to write, one for each shard: folder/*.parquet or folder/*.jsonl."""
    keep: Annotated[tuple[str, ...], Option(metavar="COLUMN", reader="repeated")] = ()
    """Columns of the input to store with each result: in ``key`` of the table ``results``, and in the output files."""
    #: Whether ``keep`` applies to the table, too; set at submission. Workers of releases that do not know this field
    #: refuse the spec, where they would write results without keys.
    keyed: Annotated[bool, NOT_AN_OPTION] = False
    #: Whether an output has the number of tokens of its text, as ``usage``. Only the gateway asks for it.
    counts_tokens: Annotated[bool, NOT_AN_OPTION] = False
    results: bool | None = None
    """Write rows into the table ``results``. Default: true unless ``output`` is given."""
    max_wait_ms: Annotated[int, Field(ge=0, le=60_000), Option(metavar="MS")] = 0
    """Milliseconds that a small shard may wait for other shards to share its batch."""

    @field_validator("batch_size", mode="before")
    @classmethod
    def _read_none(cls, value: object) -> object:
        """``None`` is what ``"auto"`` was called in specs of release 0.1."""
        return "auto" if value is None else value

    def check(self, signature: Signature, runtime: str) -> None:
        """Check that a version supports these options.

        :param runtime: the runtime in the manifest of the version.
        :raises InvalidInput: it does not; names the option.
        """
        self.check_outputs(signature)
        for name in _OWN.get(runtime, ()):
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                raise InvalidInput(name, f"{value!r}: a version of the runtime {runtime} has its own; leave it out")

    def check_outputs(self, signature: Signature) -> None:
        """The part of :meth:`check` that depends on the outputs of the version.

        :raises InvalidInput: the version does not have the requested outputs, or a column in ``keep`` has the name of
            an output.
        """
        if signature.task == "generation":
            raise InvalidInput("model", "it is a language model; use generate")
        self._check_tokens(signature)
        if self.top_k is not None and signature.labels is None:
            raise InvalidInput("top_k", f"{self.top_k}: the version's task is {signature.task}, which has no classes")
        self.read_positive(signature)
        for name in self.keep:
            if signature.task == "multilabel" and name in ("labels", "scores"):
                raise InvalidInput("keep", f"{name!r} is a column of the outputs; rename it in the data")
            if self.positive is not None and name == PROBABILITY:
                raise InvalidInput("keep", f"{name!r} is a column of the outputs; rename it in the data")

    def _check_tokens(self, signature: Signature) -> None:
        task = signature.task
        if task != "tokens" and self.aggregation != "simple":
            raise InvalidInput("aggregation", f"{self.aggregation}: only for token classification; the task is {task}")
        if task != "tokens":
            return
        for name in ("top_k", "logits"):
            if getattr(self, name):
                raise InvalidInput(name, "the version gives spans, which have no such output; leave it out")
        if "spans" in self.keep:
            raise InvalidInput("keep", "'spans' is a column of the outputs; rename it in the data")

    def read_positive(self, signature: Signature) -> PositiveClass | None:
        """The class of which the probability is returned; ``None`` if none is.

        :raises InvalidInput: the version cannot give it; names the option.
        """
        if signature.task == "multilabel" and self.positive is None:
            return None
        return read_positive(signature, self.positive, self.threshold)

    @property
    def in_table(self) -> bool:
        """Whether rows go into the table ``results``."""
        return self.output is None if self.results is None else self.results

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that make the keys of the results in the table."""
        return self.keep if self.keyed else ()


class EvaluateSpec(Spec):
    """Measure one version on rows whose targets are known."""

    # As in GenerateSpec: the name of a method of pydantic's models is no name for a field.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    data: Annotated[Input, NOT_AN_OPTION]
    #: The column that holds the expected values.
    target: Annotated[str, NOT_AN_OPTION]
    batch_size: Annotated[
        Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"], Option(metavar="ROWS|auto", reader="int_or_auto")
    ] = "auto"
    """Rows in one forward pass. ``auto`` lets the worker find the fastest size. It is halved if memory runs out."""
    precision: Precision = "auto"
    """The type in which the network computes. ``auto`` is the type of the version's weights."""
    compile: bool = False
    """Compile the network before the first batch (torch.compile)."""
    positive: Positive = None
    """Only for classification with two classes: also measure precision, recall and F1 of this class, as
    ``positive_precision``, ``positive_recall`` and ``positive_f1``. Text such as True also names a class that is no
    text.
    """
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Only with ``positive``: the least probability of that class at which it is predicted. At 0.5 the more probable
    class is.
    """
    bootstrap: Annotated[int, Field(ge=0, le=100_000), Option(metavar="N")] = 1000
    """Resamples for the confidence intervals. 0 leaves the intervals out."""
    worst: Annotated[int, Field(ge=0, le=1000), Option(metavar="ROWS")] = 20
    """How many of the rows with the largest losses are stored."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The seed of the resamples."""
    max_row_errors: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)],
        Option(metavar="N", reader="count_or_fraction"),
    ] = 0
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1."""
    max_tokens: Annotated[Annotated[int, Field(ge=1, le=1_000_000)] | None, Option(metavar="N")] = None
    """Only for language models: tokens to generate for each row, at most. Default: as in ``generate``."""
    temperature: Annotated[float, Field(ge=0, le=100), Option(metavar="T")] = 0.0
    """Only for language models: how evenly tokens are drawn; 0 always takes the most probable one."""
    system: Annotated[str | None, Option(metavar="TEXT")] = None
    """Only for language models: a system message that is put before the messages; before a prompt, as a text of its own
    line.
    """
    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Option(metavar="TEXT", reader="repeated")] = ()
    """Only for language models: texts before which the output ends."""
    json_schema: Annotated[
        dict[str, JsonValue] | None,
        Field(alias="schema"),
        Option(keyword="Mapping[str, Json] | type[BaseModel] | None", metavar="FILE|JSON", reader="json"),
    ] = None
    """Only for language models: a JSON Schema, or a pydantic model class. Also measure how many texts match it, as
    ``json_validity``. The model is not held to it.
    """
    perplexity: bool = False
    """Only for language models: also measure the perplexity of the expected texts, each after its prompt."""
    against: Annotated[str | None, Option(metavar="MODEL")] = None
    """Only for language models: another version. ``judge`` compares the texts of both, and ``win_rate`` says how often
    those of the first one are better. Needs no target.
    """
    judge: Annotated[str | None, Option(metavar="MODEL")] = None
    """Only with ``against``: the language model that says which of two texts is better. It is asked in both orders, and
    a tie counts half.
    """
    #: The digests of both, set at submission.
    against_digest: Annotated[str | None, NOT_AN_OPTION] = None
    judge_digest: Annotated[str | None, NOT_AN_OPTION] = None

    def check_task(self, task: Task) -> None:
        """:raises InvalidInput: an option does not apply to versions of this task; names it."""
        unused = _OF_NETWORKS if task == "generation" else _OF_LANGUAGE_MODELS
        for name in unused:
            if getattr(self, name) != type(self).model_fields[name].default:
                kind = "language models" if task == "generation" else f"versions for {task}"
                label = type(self).model_fields[name].alias or name
                raise InvalidInput(label, f"has no effect on {kind}; leave it out")

    def inference(self) -> InferSpec:
        """How the version is run: it gives its logits, or its values."""
        return InferSpec(data=self.data, batch_size=self.batch_size, precision=self.precision, compile=self.compile)


class PromoteSpec(Spec):
    """Point an alias at the version of the job before."""

    alias: Annotated[str, NOT_AN_OPTION]
    #: The condition on metrics; the job fails if it is false. See :mod:`longshore.shared.conditions.language`.
    condition: Annotated[str | None, NOT_AN_OPTION] = None


class DataOptions(Spec):
    """Input."""

    format: DataFormat | None = None
    """The format of the input file. Default: by its suffix."""


class JobOptions(Spec):
    """Job."""

    priority: Annotated[int, Field(ge=0, le=9)] = 4
    """0 to 9; 9 is the most urgent."""
    device: Device = "auto"
    """Which workers run the job. ``auto`` is a GPU worker if one is alive at submission, else a CPU worker."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts at one shard before it fails."""
    timeout: Annotated[Annotated[float, Field(gt=0, le=10 * 365 * 86400)] | None, Option(metavar="SECONDS")] = None
    """Seconds from submission after which the job is ended; for a job in a chain, from when the job before it has
    succeeded. Default: no limit.
    """
    rows_per_shard: Annotated[Annotated[int, Field(ge=1)] | None, Option(metavar="ROWS")] = None
    """Rows in one shard. Default: by the size of the input, and 256 for texts to generate."""
    idempotency_key: Annotated[Annotated[str, Field(min_length=1, max_length=200)] | None, Option(metavar="KEY")] = None
    """A second submission by the same producer with the same key returns the first job."""
