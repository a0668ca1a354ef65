"""Chat templates: from the messages of a conversation to the text that a model answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from longshore.shared.datasets.prompts import Message
from longshore.shared.model_formats.huggingface.chat_templates import has_place_for_tools
from longshore.workers.generate.templates.sandbox import BoundedTemplate

#: What transformers puts after the beginning of an answer, to find it in the text of the template.
_MARK: Final = "CONTINUE_FINAL_MESSAGE_TAG "
#: Names under which the reasoning of a message is passed; templates read one of them.
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")
#: Where a template asks whether a message has no content, as those of DeepSeek do.
_ASKS_FOR_NONE: Final = re.compile(r"""content['"]?\s*[\])]*\s+(?:is\s+(?:not\s+)?|[!=]=\s*)none\b""", re.IGNORECASE)


class ChatTemplate:
    """A compiled template. It is rendered as ``apply_chat_template`` of transformers renders it.

    :param source: in Jinja.
    :param special_tokens: by name (``bos_token``), for the template.
    :raises ValueError: it cannot be compiled.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._source = source
        self._special_tokens = dict(special_tokens)
        self._template = BoundedTemplate(source)
        #: The content of a message that has only calls. Most templates would write null as a text, or fail on it.
        self._no_content = None if _ASKS_FOR_NONE.search(source) else ""

    @property
    def knows_tools(self) -> bool:
        """Whether it has a place for tools."""
        return has_place_for_tools(self._source)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, JsonValue]] = (), *, answer: bool = True
    ) -> str:
        """The text of a conversation.

        :param answer: go on to where the answer begins. Default: true.
        :raises ValueError: the template refuses the messages, or takes too long or too much memory.
        """
        return self._rendered([self._plain(message) for message in messages], tools, answer=answer)

    def render_prefix(
        self, messages: Sequence[Message], prefix: str, tools: Sequence[Mapping[str, JsonValue]] = ()
    ) -> tuple[str, str]:
        """The text of a conversation whose answer begins with a prefix, and the prefix as the text ends with it: many
        templates leave out spaces around a message.

        :raises ValueError: as in :meth:`render`; or the template has no place for the beginning of an answer.
        """
        if "content" not in self._source:
            raise ValueError("prefix: the chat template of the version has no place for the beginning of an answer")
        begun: Message = {"role": "assistant", "content": prefix + _MARK}
        text = self._rendered([*map(self._plain, messages), begun], tools, answer=False)
        at = text.rfind(_MARK.strip())
        if at < 0 or prefix.strip() not in text:
            raise ValueError("prefix: the chat template of the version leaves it out")
        text = text[:at] if text.startswith(_MARK, at) else text[:at].rstrip()
        for written in (prefix, prefix.rstrip(), prefix.lstrip(), prefix.strip()):
            if text.endswith(written):
                return text, written
        raise ValueError("prefix: the chat template of the version changes it")

    def _rendered(self, messages: Sequence[Message], tools: Sequence[Mapping[str, JsonValue]], *, answer: bool) -> str:
        values: dict[str, object] = {
            **self._special_tokens,
            "messages": list(messages),
            "tools": [dict(tool) for tool in tools] or None,
            "documents": None,
            "add_generation_prompt": answer,
        }
        if not any(message.get("tool_calls") for message in messages):
            return self._template.render(values)
        try:
            return self._template.render({**values, "messages": [_with_arguments(message) for message in messages]})
        except ValueError as error:
            try:  # a template of a model whose arguments are texts
                return self._template.render(values)
            except ValueError:
                raise error from None

    def _plain(self, message: Message) -> Message:
        """A message as transformers passes it, reasoning under each of its names; but without keys that are null."""
        given: Message = {key: value for key, value in message.items() if value is not None}
        if given.get("role") == "assistant":
            given.setdefault("content", self._no_content)
        reasoning = next((given[name] for name in _REASONING if name in given), None)
        return given if reasoning is None else {"thinking": reasoning, **given, "reasoning_content": reasoning}


def _with_arguments(message: Message) -> Message:
    """A message whose calls have objects as arguments, as most templates expect them. The API of OpenAI has their JSON
    texts, which these templates would write as texts in quotes.
    """
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [_read_call(call) for call in calls]} if isinstance(calls, list) else message


def _read_call(call: JsonValue) -> JsonValue:
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if not (isinstance(call, dict) and isinstance(function, dict) and isinstance(arguments, str)):
        return call
    try:
        values = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return call
    return {**call, "function": {**function, "arguments": values}}
