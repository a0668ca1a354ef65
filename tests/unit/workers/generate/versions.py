"""Versions of language models for tests that need no network, only a tokenizer and a chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import InlineInput
from longshore.workers.generate.rows import PreparedRow, RowReader
from longshore.workers.generate.version import GenerationDefaults, LanguageModel, LanguageVersion
from tests.language_models import CHAT_TEMPLATE, CONTEXT

DATA = InlineInput(block="b", offset=0, rows=1)


def language_version(
    folder: Path,
    template: str | None = CHAT_TEMPLATE,
    *,
    tool_template: str | None = None,
    defaults: GenerationDefaults | None = None,
    special_tokens: Mapping[str, str] | None = None,
    max_model_len: int = CONTEXT,
) -> LanguageVersion:
    """A version whose tokenizer lies in a folder."""
    return LanguageVersion(
        digest="digest",
        model=LanguageModel(key="key", folder=folder, max_model_len=max_model_len, end_tokens=(2,)),
        adapter=None,
        chat_template=template,
        tool_template=tool_template,
        defaults=defaults or GenerationDefaults(),
        special_tokens=dict(special_tokens or {"eos_token": "<|im_end|>"}),
    )


def spec_of(**options: object) -> GenerateSpec:
    """The spec of a job with some options."""
    return GenerateSpec.model_validate({"data": DATA, **options})


def read(version: LanguageVersion, rows: Sequence[Mapping[str, object]], **options: object) -> list[PreparedRow | str]:
    """Read rows as a job with some options does."""
    return RowReader(version, spec_of(**options)).read(pa.RecordBatch.from_pylist([dict(row) for row in rows]))


def read_one(version: LanguageVersion, row: Mapping[str, object], **options: object) -> PreparedRow:
    """Read a row that can be run."""
    [prepared] = read(version, [row], **options)
    assert isinstance(prepared, PreparedRow), prepared
    return prepared


def error_of(version: LanguageVersion, row: Mapping[str, object], **options: object) -> str:
    """Read a row that cannot be run: why."""
    [error] = read(version, [row], **options)
    assert isinstance(error, str), error
    return error
