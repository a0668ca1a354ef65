"""The spec of a job that generates text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

from pydantic import ConfigDict, Field, JsonValue, field_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.specs.jobs import EvaluateSpec, Input
from longshore.shared.specs.tool_choice import AUTO, ForcedCalls, forced_calls
from longshore.shared.specs.validation import build
from longshore.shared.vocabulary import EngineName

#: The columns of the input that hold what a model answers: a text, or a list of ``{"role", "content"}``. One of both.
PROMPT: Final = "prompt"
MESSAGES: Final = "messages"
#: Keys of the output of a row, with some combination of options, in the order in which they are shown.
OUTPUT_KEYS: Final = ("text", "finish_reason", "usage", "choices", "logprobs", "tool_calls", "message", "data")

R = TypeVar("R", bound="RowOptions")


class RowOptions(Spec):
    """Sampling. A column of the input with the name of one of these options overrides it row by row."""

    max_tokens: Annotated[Annotated[int, Field(ge=1, le=1_000_000)] | None, Option(metavar="N")] = None
    """Tokens to generate, at most. Default: that of the version's generation_config.json, or 256."""
    min_tokens: Annotated[int, Field(ge=0, le=1_000_000), Option(metavar="N")] = 0
    """Tokens before which a text does not end."""
    temperature: Annotated[Annotated[float, Field(ge=0, le=100)] | None, Option(metavar="T")] = None
    """How evenly tokens are drawn; 0 always takes the most probable one. Default: that of the version's
    generation_config.json, or 0.
    """
    top_p: Annotated[Annotated[float, Field(gt=0, le=1)] | None, Option(metavar="P")] = None
    """Draw only from the most probable tokens that have this probability together. Default: that of the version, or
    1.
    """
    top_k: Annotated[Annotated[int, Field(ge=0, le=1_000_000)] | None, Option(metavar="K")] = None
    """Draw only from so many tokens, the most probable ones; 0: from all. Default: that of the version, or 0."""
    min_p: Annotated[Annotated[float, Field(ge=0, le=1)] | None, Option(metavar="P")] = None
    """Draw only from tokens with at least this fraction of the probability of the most probable one. Default: that of
    the version, or 0.
    """
    repetition_penalty: Annotated[Annotated[float, Field(gt=0, le=100)] | None, Option(metavar="X")] = None
    """Above 1: tokens of the prompt and of the text become less probable. Default: that of the version, or 1."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2), Option(metavar="X")] = 0.0
    """Above 0: tokens that the text has become less probable."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2), Option(metavar="X")] = 0.0
    """Above 0: tokens become less probable each time that the text has them."""
    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Option(keyword="str | list[str] | tuple[str, ...]", metavar="TEXT", reader="repeated"),
    ] = ()
    """Texts before which the output ends."""
    seed: Annotated[Annotated[int, Field(ge=0, lt=2**63)] | None, Option(metavar="N")] = None
    """Determines what is drawn for each row. Default: drawn by the engine, different each time."""
    n: Annotated[int, Field(ge=1, le=128), Option(metavar="N")] = 1
    """Texts for each row. If there are several, they are ``choices`` of the output, and need a temperature above 0."""
    logprobs: Annotated[Annotated[int, Field(ge=0, le=20)] | None, Option(metavar="K")] = None
    """Also return the log probability of each token, and the K most probable tokens in its place."""
    system: Annotated[str | None, Option(metavar="TEXT")] = None
    """A system message that is put before the messages; before a prompt, as a text of its own line."""
    prefix: Annotated[str | None, Option(metavar="TEXT")] = None
    """How the answer begins. The output begins with it, too."""
    tool_choice: Annotated[Annotated[str, Field(min_length=1)], Option(metavar="CHOICE")] = AUTO
    """Whether the model calls ``tools``: ``auto``, it decides; ``none``, it is shown none; ``required``, it calls one
    or several; the name of a function, it calls this one. Calls that it must make match the schemas of their functions.
    """

    @field_validator("stop", mode="before")
    @classmethod
    def _read_one_text(cls, value: object) -> object:
        """One text stands for a list of it, as in the API of OpenAI."""
        return (value,) if isinstance(value, str) else value

    def override(self: R, values: Mapping[str, object]) -> R:
        """These options with others of a row in their place.

        :param values: by the name of the option, those that the row has.
        :raises InvalidInput: a value is wrong, or two do not go together; names the option.
        """
        if not values:
            return self
        checked = build(RowOptions, values)
        options = self.model_copy(update={name: getattr(checked, name) for name in values})
        options.check_row()
        return options

    def check_row(self) -> None:
        """Check the options of a row that depend on each other.

        :raises InvalidInput: two do not go together; names one of them.
        """
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise InvalidInput(
                "min_tokens", f"{self.min_tokens}: more than max_tokens, which is {self.max_tokens}; lower one of them"
            )
        if self.n > 1 and self.temperature == 0:
            raise InvalidInput("n", f"{self.n}: with temperature 0 all texts of a row are equal; give a temperature")


class GenerateSpec(RowOptions):
    """Output and engine."""

    # The name of a method of pydantic's models is no name for a field: the field has another, and the keyword is its
    # alias.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    data: Annotated[Input, NOT_AN_OPTION]
    json_schema: Annotated[
        dict[str, JsonValue] | None,
        Field(alias="schema"),
        Option(keyword="Mapping[str, Json] | type[BaseModel] | None", metavar="FILE|JSON", reader="json"),
    ] = None
    """A JSON Schema, or a pydantic model class: each text is a JSON document that matches it, and is also put out
    parsed, as ``data``.
    """
    regex: Annotated[Annotated[str, Field(min_length=1)] | None, Option(metavar="PATTERN")] = None
    """A regular expression that each text matches as a whole."""
    choices: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Option(metavar="TEXT", reader="repeated")] = ()
    """Each text is one of these."""
    tools: Annotated[
        tuple[dict[str, JsonValue], ...],
        Option(keyword="Sequence[Mapping[str, Json]]", metavar="FILE|JSON", reader="json"),
    ] = ()
    """Functions that the model may call, in the form of OpenAI's API. Only with ``messages``. Arguments that do not
    match the schema of a function with ``"strict": true`` are an error of their row.
    """
    parallel_tool_calls: bool = True
    """Whether an answer may have several calls. False only with a ``tool_choice``."""
    engine: EngineName = "auto"
    """What runs the network. ``auto``: vLLM on a GPU if the worker has it, else transformers."""
    max_row_errors: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)],
        Option(metavar="N", reader="count_or_fraction"),
    ] = 0
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1."""
    keep: Annotated[tuple[str, ...], Option(metavar="COLUMN", reader="repeated")] = ()
    """Columns of the input to store with each result, in ``key`` of the table ``results``."""
    streamed: Annotated[bool, NOT_AN_OPTION] = False
    """Whether the worker publishes the texts while they are written. Only the gateway asks for it."""

    @classmethod
    def of_evaluation(cls, spec: EvaluateSpec, *, checked: bool = False) -> GenerateSpec:
        """The options by which the rows of an evaluation are read and run.

        :param checked: with the schema, by which texts are checked. Default: without it, so that the model is not held
            to it.
        """
        return cls(
            data=spec.data,
            max_tokens=spec.max_tokens,
            temperature=spec.temperature,
            system=spec.system,
            stop=spec.stop,
            seed=spec.seed,
            json_schema=spec.json_schema if checked else None,
            keep=(spec.target,) if spec.judge is None else (),
        )

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that make the keys of the results."""
        return self.keep

    @property
    def is_constrained(self) -> bool:
        """Whether the texts must match something."""
        return self.json_schema is not None or self.regex is not None or bool(self.choices)

    def forced_calls(self, choice: str) -> ForcedCalls | None:
        """What a text must call by a ``tool_choice``; ``None``: nothing.

        :raises InvalidInput: there is no such function, or it does not go together with other options.
        """
        return forced_calls(self.tools, choice, parallel=self.parallel_tool_calls)

    def check(self) -> None:
        """Check the options that depend on each other.

        :raises InvalidInput: two do not go together; names one of them.
        """
        self.check_row()
        used = {"schema": self.json_schema is not None, "regex": self.regex is not None, "choices": bool(self.choices)}
        formats = [name for name, is_used in used.items() if is_used]
        if len(formats) > 1:
            raise InvalidInput(formats[1], f"not together with {formats[0]}: a text matches one of them; leave one out")
        if formats and self.tools:
            raise InvalidInput(
                "tools", f"not together with {formats[0]}: a text that matches it calls no tool; leave one out"
            )
        if formats and self.prefix:
            raise InvalidInput("prefix", f"not together with {formats[0]}, which the whole text matches; leave one out")
        if self.forced_calls(self.tool_choice) is not None and self.prefix:
            raise InvalidInput("prefix", "not together with tool_choice: the whole text is calls; leave one out")
        if len(set(self.choices)) < len(self.choices):
            raise InvalidInput("choices", "a text stands there twice; remove it")


#: Columns of the input that override an option, by row.
ROW_OPTIONS: Final = tuple(RowOptions.model_fields)
