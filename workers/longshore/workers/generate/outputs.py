"""The output of a row: a JSON document made of what an engine has generated for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Final, TypeAlias

from pydantic import JsonValue

from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.tool_choice import NONE
from longshore.workers.generate.answers import AnswerChecker
from longshore.workers.generate.engines.base import Completion, Sampling, TokenLogprob
from longshore.workers.generate.forced_calls import CallChecker
from longshore.workers.generate.rows import PreparedRow
from longshore.workers.generate.text_decoder import TextDecoder
from longshore.workers.generate.tokenizer import load_tokenizer
from longshore.workers.generate.tool_calls import CallingText, ToolReader, call_documents, choose_reader
from longshore.workers.generate.version import LanguageVersion

#: A JSON object that Postgres can store.
Output: TypeAlias = dict[str, JsonValue]

#: Characters that Postgres stores in no JSON document.
_NOT_STORED: Final = re.compile(r"[\0\ud800-\udfff]")
#: What stands in their place, as for bytes that are no text.
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
#: The log probability of a token that cannot come, as in the API of OpenAI: JSON has no infinity, and no NaN.
LEAST_LOGPROB: Final = -9999.0


class OutputWriter:
    """Writes the outputs of a job for one version.

    :raises InvalidInput: the job asks for texts that cannot be checked here.
    :raises CorruptBlob: the tokenizer of the version cannot be loaded.
    """

    def __init__(self, version: LanguageVersion, spec: GenerateSpec) -> None:
        self._forced_calls = cache(spec.forced_calls)
        self._checker = AnswerChecker(spec)
        self._calls_checker = CallChecker(spec)
        self._tokenizer = load_tokenizer(version.model.folder)
        self._tools = frozenset(_name(tool) for tool in spec.tools)
        self._reader: ToolReader | None = None
        if spec.tools:
            template = version.tool_template or version.chat_template or ""
            self._reader = choose_reader(template, version.special_tokens.values())

    def write(self, row: PreparedRow, completions: Sequence[Completion]) -> Output | str:
        """The output of a row, or why it has none.

        :param completions: one for each of ``row.samplings``, in their order.
        """
        several = len(completions) > 1
        choices: list[Output] = []
        for index, (completion, sampling) in enumerate(zip(completions, row.samplings, strict=True)):
            try:
                choices.append(self._choice(row, completion, sampling))
            except ValueError as error:
                return f"choice {index}: {error}" if several else str(error)
        first = choices[0]
        output: Output = {
            "text": first["text"],
            "finish_reason": first["finish_reason"],
            "usage": {
                "prompt_tokens": len(row.tokens),
                "completion_tokens": sum(len(completion.tokens) for completion in completions),
                "cached_tokens": completions[0].cached_tokens,
            },
        }
        if several:
            return {**output, "choices": [{"index": index, **choice} for index, choice in enumerate(choices)]}
        return {**output, **first}

    def text_decoder(self, sampling: Sampling) -> TextDecoder:
        """What makes the text of a request while it is written."""
        return TextDecoder(self._tokenizer.native, sampling.stop)

    def _choice(self, row: PreparedRow, completion: Completion, sampling: Sampling) -> Output:
        """What one text adds to the output.

        :raises ValueError: the text does not match what it must.
        """
        text = row.prefix + completion.text
        data = self._checker.check(text, completion)
        calls, finish = self._calls(row, completion, sampling)
        choice: Output = {"text": stored_text(text), "finish_reason": finish}
        if calls is not None:
            choice["tool_calls"] = call_documents(calls.calls)
        if row.is_chat:
            choice["message"] = _message(text, calls)
        if self._checker.gives_data:
            choice["data"] = data
        if completion.logprobs is not None:
            choice["logprobs"] = [self._logprob(each) for each in completion.logprobs]
        return choice

    def _calls(self, row: PreparedRow, completion: Completion, sampling: Sampling) -> tuple[CallingText | None, str]:
        """The calls in a text, and why it has ended.

        :raises ValueError: it does not call what it must, or with other arguments.
        """
        forced = self._forced_calls(row.tool_choice)
        if forced is not None:
            calls = self._calls_checker.read(completion.text, completion, forced)
            # As OpenAI's API: for the caller who has named the function, its call is no news.
            return CallingText(calls, ""), "stop" if forced.is_named else "tool_calls"
        read = None if row.tool_choice == NONE else self._read_calls(row.prefix, completion, sampling)
        if read is None:
            return None, completion.finish
        self._calls_checker.check(read.calls)
        return read, "tool_calls"

    def _read_calls(self, prefix: str, completion: Completion, sampling: Sampling) -> CallingText | None:
        """The calls in a text. Some models mark them by special tokens, which are not in the text of a completion."""
        if self._reader is None or completion.finish == "length":
            return None
        marked = self._tokenizer.decode(completion.tokens)
        for stop in sampling.stop:
            marked = marked.partition(stop)[0]
        return self._reader(prefix + marked, self._tools)

    def _logprob(self, token: TokenLogprob) -> Output:
        top: list[JsonValue] = [self._token(each, value) for each, value in token.top]
        return {**self._token(token.token, token.logprob), "top": top}

    def _token(self, token: int, logprob: float) -> Output:
        return {
            "token": stored_text(self._tokenizer.piece(token)),
            "logprob": logprob if logprob > LEAST_LOGPROB else LEAST_LOGPROB,
        }


def _message(text: str, calls: CallingText | None) -> Output:
    if calls is None:
        return {"role": "assistant", "content": stored_text(text)}
    content = stored_text(calls.content) if calls.content else None
    return {"role": "assistant", "content": content, "tool_calls": call_documents(calls.calls)}


def stored_text(text: str) -> str:
    """A text as Postgres stores it."""
    return _NOT_STORED.sub(_REPLACEMENT, text)


def _name(tool: dict[str, JsonValue]) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""
