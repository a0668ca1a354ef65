"""The spec of a job that generates text."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, JsonValue

from longshore.shared.specs.base import NOT_AN_OPTION, Option, Spec
from longshore.shared.specs.jobs import Input
from longshore.shared.vocabulary import EngineName

#: The columns of the input that hold what a model answers: a text, or a list of ``{"role", "content"}``. One of both.
PROMPT: Final = "prompt"
MESSAGES: Final = "messages"


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
    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Option(metavar="TEXT", reader="repeated")] = ()
    """Texts before which the output ends."""
    seed: Annotated[Annotated[int, Field(ge=0, lt=2**63)] | None, Option(metavar="N")] = None
    """Determines what is drawn for each row. Default: drawn by the engine, different each time."""
    n: Annotated[int, Field(ge=1, le=128), Option(metavar="N")] = 1
    """Texts for each row. If there are several, they are ``choices`` of the output."""
    logprobs: Annotated[Annotated[int, Field(ge=0, le=20)] | None, Option(metavar="K")] = None
    """Also return the log probability of each token, and the K most probable tokens in its place."""
    system: Annotated[str | None, Option(metavar="TEXT")] = None
    """A system message that is put before the messages; before a prompt, as a text of its own line."""
    prefix: Annotated[str | None, Option(metavar="TEXT")] = None
    """How the answer begins. The output begins with it, too."""


class GenerateSpec(RowOptions):
    """Output and engine."""

    data: Annotated[Input, NOT_AN_OPTION]
    json_schema: Annotated[
        dict[str, JsonValue] | None, Option(keyword="Mapping[str, Json] | type[BaseModel]", flag="--schema")
    ] = None
    """A JSON Schema, or a pydantic model class: each text is a JSON document that matches it, and is also put out
    parsed, as ``data``.
    """
    regex: Annotated[str | None, Option(metavar="PATTERN")] = None
    """A regular expression that each text matches as a whole."""
    choices: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Option(metavar="TEXT", reader="repeated")] = ()
    """Each text is one of these."""
    tools: Annotated[tuple[dict[str, JsonValue], ...], NOT_AN_OPTION] = ()
    """Functions that the model may call, as JSON documents of the form {"type": "function", "function": {...}}."""
    engine: EngineName = "auto"
    """What runs the network. ``auto``: vLLM on a GPU if the worker has it, else transformers."""
    max_row_errors: Annotated[
        Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, lt=1)],
        Option(metavar="N", reader="count_or_fraction"),
    ] = 0
    """Rows that may fail before the job fails: a count, or a fraction of the rows below 1."""
    keep: Annotated[tuple[str, ...], Option(metavar="COLUMN", reader="repeated")] = ()
    """Columns of the input to store with each result, in ``key`` of the table ``results``."""


#: Columns of the input that override an option, by row.
ROW_OPTIONS: Final = tuple(RowOptions.model_fields)
