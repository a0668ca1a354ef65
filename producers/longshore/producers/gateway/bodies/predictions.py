"""The bodies that run a version and wait for its outputs."""

from __future__ import annotations

from typing import Annotated, Final, cast

from pydantic import Field, JsonValue, SkipValidation

from longshore.producers.data import Data as ClientData
from longshore.producers.gateway.bodies.data import client_data
from longshore.producers.gateway.bodies.jobs import Body, Options
from longshore.producers.gateway.bodies.options import OptionsOf
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import TOKENISED

_TOKENS: Final = Field(default=None, examples=[[[101, 7592, 102]]])


class PredictBody(Body):
    """Rows, in one of three forms: `rows`, `columns`, or `input_ids` with what belongs to them."""

    rows: Annotated[
        list[dict[str, JsonValue]] | list[str] | list[list[JsonValue]] | None,
        SkipValidation,
        Field(examples=[[{"text": "a fine film"}]]),
    ] = None
    """A list of objects, a list of texts, or an array of numbers whose first axis counts rows."""
    columns: Annotated[dict[str, list[JsonValue]] | None, SkipValidation] = None
    """A list of values for each column."""
    input_ids: Annotated[list[list[int]] | None, SkipValidation, _TOKENS] = None
    """The tokens of each row, for versions that read tokens, and for imported text models in place of texts."""
    attention_mask: Annotated[list[list[int]] | None, SkipValidation] = None
    """1 for each token, and then 0 for padding. Default: all are tokens."""
    token_type_ids: Annotated[list[list[int]] | None, SkipValidation] = None
    """The type of each token. Default: 0."""
    options: Annotated[Options, OptionsOf("infer")] = Field(default_factory=dict)

    def data(self) -> ClientData:
        """The rows as the client takes them.

        :raises InvalidInput: there are none, or in several forms, or they are no rows.
        """
        tokens = {name: value for name in TOKENISED if (value := getattr(self, name)) is not None}
        forms = {"rows": self.rows, "columns": self.columns, TOKENISED[0]: tokens or None}
        given = [name for name, value in forms.items() if value is not None]
        if len(given) != 1:
            raise InvalidInput(given[1] if given else "rows", f"give one of {', '.join(forms)}")
        [name] = given
        data = forms[name]
        if name == "columns" or tokens:
            if not isinstance(data, dict) or not all(isinstance(column, list) for column in data.values()):
                raise InvalidInput(name, "give a list of values for each column")
            return cast("ClientData", data)
        if not isinstance(data, list):
            raise InvalidInput(name, "give a list of rows")
        try:
            return client_data(data)
        except InvalidInput as error:
            raise InvalidInput(name, error.reason) from None

    def named(self, error: InvalidInput) -> InvalidInput:
        """An error of the client, with the field of its rows as the body has it."""
        return _named(
            error, "rows" if self.rows is not None else "columns" if self.columns is not None else TOKENISED[0]
        )


class TextsBody(Body):
    """What text is generated for: `prompt` or `messages`."""

    prompt: Annotated[str | list[str] | None, Field(examples=["Write a haiku about the sea."])] = None
    """A prompt, or a list of prompts."""
    messages: Annotated[
        list[dict[str, JsonValue]] | list[list[dict[str, JsonValue]]] | None,
        SkipValidation,
        Field(examples=[[{"role": "user", "content": "What is the capital of France?"}]]),
    ] = None
    """A list of messages, or a list of such lists."""
    options: Annotated[Options, OptionsOf("generate")] = Field(default_factory=dict)
    stream: bool = False
    """Answer with server-sent events while the texts are written."""

    def data(self) -> dict[str, list[JsonValue]]:
        """The rows as columns: a prompt is never taken for a path.

        :raises InvalidInput: there are none, or of both kinds.
        """
        if (self.prompt is None) == (self.messages is None):
            raise InvalidInput("prompt" if self.prompt is None else "messages", "give either prompt or messages")
        if self.prompt is not None:
            return {"prompt": [self.prompt] if isinstance(self.prompt, str) else list(self.prompt)}
        messages = self.messages
        if not isinstance(messages, list) or not messages:
            raise InvalidInput("messages", "give a list of messages, or a list of such lists")
        return {"messages": cast("list[JsonValue]", messages if isinstance(messages[0], list) else [messages])}

    def named(self, error: InvalidInput) -> InvalidInput:
        """An error of the client, with the field of its rows as the body has it."""
        return _named(error, "prompt" if self.messages is None else "messages")


def _named(error: InvalidInput, rows: str) -> InvalidInput:
    return type(error)(rows, error.reason) if error.field == "data" else error
