"""From the body of a request to the options of its job as a whole: what its answers are held to, and the tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from pydantic import JsonValue

from longshore.producers.gateway.openai.bodies import ChatBody, CompletionBody, GenerationBody
from longshore.producers.gateway.openai.errors import invalid
from longshore.producers.gateway.openai.messages import NamedFunction, NamedTool
from longshore.producers.gateway.openai.response_bodies import ResponseBody
from longshore.producers.options.keywords import GenerateOptions
from longshore.shared.specs.tool_choice import AUTO, CHOICES, NONE

TextBody: TypeAlias = ChatBody | CompletionBody | ResponseBody

#: Any JSON object.
_OBJECT: Final[Mapping[str, JsonValue]] = {"type": "object"}


def job_options(body: TextBody, names: dict[str, str]) -> GenerateOptions:
    """What is the same for all rows of a job.

    :raises Problem: 400; two parameters say what the answer must be.
    """
    options: GenerateOptions = {}
    forms = [*_formats(body), *_guides(body)]
    if len(forms) > 1:
        raise invalid(forms[1][0], f"not together with {forms[0][0]}; leave one out")
    for param, form in forms:
        options |= form
        names |= dict.fromkeys(form, param)
    if isinstance(body, CompletionBody):
        return options
    return {**options, **_tool_options(body, [param for param, _ in forms])}


def _tool_options(body: ChatBody | ResponseBody, forms: Sequence[str]) -> GenerateOptions:
    """The functions, and whether they are called.

    :param forms: the parameters that say what the answer must be.
    """
    choice = body.tool_choice
    if not body.tools:
        for name, value in (("tool_choice", choice), ("parallel_tool_calls", body.parallel_tool_calls)):
            if value is not None:
                raise invalid(name, "only with tools; leave it out")
        return {}
    if choice == NONE:  # the model is shown no tools
        return {}
    if forms:
        raise invalid("tools", f"not together with {forms[0]}: a text that matches it calls no tool")
    options: GenerateOptions = {"tools": [tool.document() for tool in body.tools]}
    if isinstance(choice, NamedTool | NamedFunction):
        if choice.name in CHOICES:
            raise invalid("tool_choice", f"a function called {choice.name!r} cannot be chosen by its name; rename it")
        options["tool_choice"] = choice.name
    elif choice is not None and choice != AUTO:
        options["tool_choice"] = choice
    # One call of one function is one call.
    if body.parallel_tool_calls is False and not isinstance(choice, NamedTool | NamedFunction):
        options["parallel_tool_calls"] = False
    return options


def _formats(body: TextBody) -> list[tuple[str, GenerateOptions]]:
    """What OpenAI's parameters say of the answer, with the parameter that says it."""
    if isinstance(body, ResponseBody):
        text = None if body.text is None else body.text.format
        if text is None:
            return []
        if text.schema_ is not None and text.type != "json_schema":
            raise invalid("text.format.schema", "only with the type json_schema")
        if text.type == "text":
            return []
        return [("text.format", {"schema": _OBJECT if text.schema_ is None else text.schema_})]
    form = body.response_format
    if form is None:
        return []
    document = form.json_schema
    if (document is not None) != (form.type == "json_schema"):
        raise invalid("response_format.json_schema", "required with the type json_schema, and only with it")
    if form.type == "text":
        return []
    schema = None if document is None else document.schema_
    return [("response_format", {"schema": _OBJECT if schema is None else schema})]


def _guides(body: GenerationBody) -> list[tuple[str, GenerateOptions]]:
    """What vLLM's parameters say of the answer, with the parameter that says it."""
    guides: list[tuple[str, GenerateOptions]] = []
    if body.guided_json is not None:
        guides.append(("guided_json", {"schema": body.guided_json}))
    if body.guided_regex is not None:
        guides.append(("guided_regex", {"regex": body.guided_regex}))
    if body.guided_choice is not None:
        guides.append(("guided_choice", {"choices": body.guided_choice}))
    outputs = body.structured_outputs
    if outputs is not None:
        if outputs.json_ is not None:
            guides.append(("structured_outputs.json", {"schema": outputs.json_}))
        if outputs.regex is not None:
            guides.append(("structured_outputs.regex", {"regex": outputs.regex}))
        if outputs.choice is not None:
            guides.append(("structured_outputs.choice", {"choices": outputs.choice}))
        if outputs.json_object:
            guides.append(("structured_outputs.json_object", {"schema": _OBJECT}))
    return guides
