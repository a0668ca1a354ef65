"""Rows of a job that generates text: from the columns of the input to requests of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.shared.datasets.prompts import PromptRow, prompt_columns, read_prompts
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import MESSAGES, PROMPT, GenerateSpec, RowOptions
from longshore.shared.specs.tool_choice import AUTO, NONE, shown_tools
from longshore.workers.generate.constraints import make_constraint
from longshore.workers.generate.engines.base import Constraint, Sampling
from longshore.workers.generate.forced_calls import CallConstraints
from longshore.workers.generate.sampling import make_samplings
from longshore.workers.generate.templates.chat import ChatTemplate
from longshore.workers.generate.tokenizer import load_tokenizer
from longshore.workers.generate.version import LanguageVersion


@dataclass(frozen=True, kw_only=True)
class PreparedRow:
    """A row that an engine can run: ``len(samplings)`` requests with the same prompt."""

    tokens: Sequence[int]
    #: One for each text that the row asks for, ``n`` of them. They differ in their seeds.
    samplings: tuple[Sampling, ...]
    #: What the text begins with, because the prompt ends with it.
    prefix: str = ""
    #: Whether it answers messages, so that its output is a message, too.
    is_chat: bool = False
    #: Whether the texts call functions.
    tool_choice: str = AUTO


@dataclass(frozen=True, kw_only=True)
class _Text:
    """A row whose text is known, but not its tokens."""

    text: str
    options: RowOptions
    prefix: str
    is_chat: bool


class RowReader:
    """Reads the rows of a job for one version. Used by one thread at a time.

    :raises InvalidInput: options of the job do not go together, or the version cannot do what they ask for.
    :raises CorruptBlob: the tokenizer or the chat template of the version cannot be loaded.
    """

    def __init__(self, version: LanguageVersion, spec: GenerateSpec) -> None:
        spec.check()
        self._version = version
        self._spec = spec
        self._options = RowOptions(**{name: getattr(spec, name) for name in RowOptions.model_fields})
        self._constraint: Constraint | None = make_constraint(spec)
        self._calls = CallConstraints(spec)
        self._tools = shown_tools(spec.tools)
        self._template = None if version.chat_template is None else _load_template(version, version.chat_template)
        #: For messages with tools.
        self._tool_template = self._template
        if spec.tools and version.tool_template is not None:
            self._tool_template = _load_template(version, version.tool_template)
        if spec.tools and (self._tool_template is None or not self._tool_template.knows_tools):
            raise InvalidInput("tools", "the chat template of the version has no place for tools; leave them out")
        self._tokenizer = load_tokenizer(version.model.folder)

    def columns(self, available: Iterable[str]) -> list[str]:
        """Which columns of the input to read, in its order.

        :raises InvalidInput: the input has neither prompts nor messages, or both; or the version cannot answer them.
        """
        names = list(available)
        if (PROMPT in names) == (MESSAGES in names):
            raise InvalidInput("data", f"give a column {PROMPT!r} or a column {MESSAGES!r}, and not both")
        if MESSAGES in names and self._template is None:
            raise InvalidInput("data", f"the version has no chat template; give a column {PROMPT!r}")
        if PROMPT in names and self._spec.tools:
            raise InvalidInput("tools", f"they need a column {MESSAGES!r}; the data has {PROMPT!r}")
        return prompt_columns(names)

    def read(self, batch: pa.RecordBatch) -> list[PreparedRow | str]:
        """The rows of a batch; for one that cannot be run, why."""
        texts = [row if isinstance(row, str) else self._text(row) for row in read_prompts(batch)]
        good = [text for text in texts if not isinstance(text, str)]
        chats = iter(self._tokenizer.encode([text.text for text in good if text.is_chat], special_tokens=False))
        prompts = iter(self._tokenizer.encode([text.text for text in good if not text.is_chat], special_tokens=True))
        rows: list[PreparedRow | str] = []
        for text in texts:
            if isinstance(text, str):
                rows.append(text)
                continue
            tokens = next(chats if text.is_chat else prompts)
            rows.append(f"{_column(text)}: {tokens}" if isinstance(tokens, str) else self._prepared(text, tokens))
        return rows

    def _text(self, row: PromptRow) -> _Text | str:
        """What is tokenized for a row, or what is wrong with it."""
        try:
            options = self._options.override(row.options)
            if options.prefix and self._version.model.encoder_decoder:
                return "prefix: the version has an encoder, which would read it as a part of the prompt; leave it out"
            if options.prefix and self._constraint is not None:
                return "prefix: not together with schema, regex or choices, which the whole text matches; leave it out"
            if self._calls.of(options.tool_choice) is not None and options.prefix:
                return "prefix: not together with tool_choice: the whole text is calls; leave one out"
            return self._prompt(row.prompt, options) if row.messages is None else self._chat(row, options)
        except InvalidInput as error:
            return f"column {error.field!r}: {error.reason}"
        except ValueError as error:
            return str(error)

    def _prompt(self, prompt: str | None, options: RowOptions) -> _Text:
        prefix = options.prefix or ""
        system = f"{options.system}\n" if options.system else ""
        return _Text(text=f"{system}{prompt}{prefix}", options=options, prefix=prefix, is_chat=False)

    def _chat(self, row: PromptRow, options: RowOptions) -> _Text:
        assert row.messages is not None
        tools = () if options.tool_choice == NONE else self._tools
        template = self._tool_template if tools else self._template
        if template is None:
            raise ValueError(f"{MESSAGES}: the version has no chat template; give a column {PROMPT!r}")
        messages = list(row.messages)
        if options.system:
            if messages[0].get("role") in ("system", "developer"):
                raise ValueError("system: the messages have a system message of their own; leave out one of both")
            messages.insert(0, {"role": "system", "content": options.system})
        prefix = ""
        if options.prefix:
            text, prefix = template.render_prefix(messages, options.prefix, tools)
        else:
            text = template.render(messages, tools)
        return _Text(text=text, options=options, prefix=prefix, is_chat=True)

    def _prepared(self, text: _Text, tokens: Sequence[int]) -> PreparedRow | str:
        if not tokens:
            return f"{_column(text)}: the tokenizer makes no tokens of it"
        try:
            samplings = make_samplings(
                text.options,
                self._version.defaults,
                prompt_tokens=len(tokens),
                max_model_len=self._version.model.max_model_len,
                constraint=self._constraint or self._calls.of(text.options.tool_choice),
            )
        except ValueError as error:
            return str(error)
        return PreparedRow(
            tokens=tokens,
            samplings=samplings,
            prefix=text.prefix,
            is_chat=text.is_chat,
            tool_choice=text.options.tool_choice,
        )


def _column(text: _Text) -> str:
    return MESSAGES if text.is_chat else PROMPT


def _load_template(version: LanguageVersion, source: str) -> ChatTemplate:
    """:raises InvalidInput: the version was imported with a template that cannot be used."""
    try:
        return ChatTemplate(source, version.special_tokens)
    except ValueError as error:
        raise InvalidInput("model", f"{error}; import it again with another template") from None
