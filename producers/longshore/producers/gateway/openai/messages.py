"""The messages, tools and formats in the bodies of requests."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag

from longshore.producers.gateway.openai.parameters import UNSUPPORTED, Only, OpenAIBody
from longshore.shared.specs.tool_choice import CHOICES

_TEXT_ONLY: Final = Only("models here read text; give parts of the type text alone", ("text",))


class TextPart(OpenAIBody):
    """A part of the content of a message."""

    type: Annotated[str, _TEXT_ONLY]
    text: str


def _as_parts(value: object) -> object:
    """A text as its one part."""
    if isinstance(value, str):
        return [TextPart(type="text", text=value)]
    if value is None or isinstance(value, list):
        return value
    raise ValueError("give a text, or a list of text parts")


class CalledFunction(OpenAIBody):
    """A function that a model has called."""

    name: str
    arguments: str


class MessageToolCall(OpenAIBody):
    """A call in an answer of a model."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(OpenAIBody):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        list[TextPart] | None, BeforeValidator(_as_parts, json_schema_input_type=str | list[TextPart] | None)
    ] = None
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: Annotated[JsonValue, Only("no chat template has a place for it; give it as content")] = None
    annotations: Annotated[JsonValue, Only("no chat template has a place for them", ([],))] = None
    audio: Annotated[JsonValue, Only("models here read text")] = None
    function_call: Annotated[JsonValue, Only("give tool_calls, which replaced it")] = None

    def document(self) -> dict[str, JsonValue]:
        """The message as ``client.generate`` takes it."""
        message: dict[str, JsonValue] = self.model_dump(exclude_none=True, exclude={"annotations"})
        if self.content is not None:
            message["content"] = "\n".join(part.text for part in self.content)
        return message


class Function(OpenAIBody):
    """A function that a model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None
    """Arguments that do not match the schema are an error, even where the model decides whether it calls."""

    def document(self) -> dict[str, JsonValue]:
        """The function as ``client.generate`` takes it."""
        document: dict[str, JsonValue] = self.model_dump(exclude_none=True, exclude={"type", "strict"})
        return {**document, "strict": True} if self.strict else document


class Tool(OpenAIBody):
    """A tool: only functions are."""

    type: Literal["function"]
    function: Function

    def document(self) -> dict[str, JsonValue]:
        """The tool as ``client.generate`` takes it."""
        return {"type": "function", "function": self.function.document()}


class NamedFunction(OpenAIBody):
    """The function that must be called, as responses have it."""

    type: Literal["function"] = "function"
    name: str


class FunctionName(OpenAIBody):
    """The name of a function."""

    name: str


class NamedTool(OpenAIBody):
    """The function that must be called, as chat completions have it."""

    type: Literal["function"] = "function"
    function: FunctionName

    @property
    def name(self) -> str:
        """Of the function."""
        return self.function.name


def _kind_of_choice(value: object) -> str:
    if isinstance(value, str):
        return f"<{'word' if value in CHOICES else value}>"
    return f"<{value.get('type')}>" if isinstance(value, dict) else "<function>"


_CHOICE: Final = Discriminator(
    _kind_of_choice,
    custom_error_type=UNSUPPORTED,
    custom_error_message="give auto, none, required, or one function",
)
Word: TypeAlias = Annotated[Literal["auto", "none", "required"], Tag("<word>")]
# pydantic puts the tag into the path of an error: errors.path_of knows it by its brackets.
ToolChoice = Annotated[Word | Annotated[NamedTool, Tag("<function>")], _CHOICE]
FunctionChoice = Annotated[Word | Annotated[NamedFunction, Tag("<function>")], _CHOICE]


class JsonSchemaFormat(OpenAIBody):
    """A JSON Schema and its name."""

    name: str | None = None
    description: str | None = None
    schema_: Annotated[dict[str, JsonValue] | None, Field(alias="schema")] = None
    strict: bool | None = None
    """Answers are held to the schema whatever it is."""


class ResponseFormat(OpenAIBody):
    """What an answer must be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StructuredOutputs(OpenAIBody):
    """What an answer must be, as vLLM takes it: one of these."""

    json_: Annotated[dict[str, JsonValue] | None, Field(alias="json")] = None
    """A JSON Schema."""
    regex: str | None = None
    choice: Annotated[list[str], Field(min_length=1)] | None = None
    json_object: bool | None = None
    grammar: Annotated[JsonValue, Only("give json, regex or choice")] = None
    structural_tag: Annotated[JsonValue, Only("give json, regex or choice")] = None


class StreamOptions(OpenAIBody):
    """What else a stream has."""

    include_usage: bool | None = None
    """The last chunk before ``[DONE]`` has the usage."""
    include_obfuscation: Annotated[JsonValue, Only("chunks are not padded", (False,))] = None
    continuous_usage_stats: Annotated[JsonValue, Only("only the last chunk has the usage", (False,))] = None
