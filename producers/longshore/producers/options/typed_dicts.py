"""Renders the keywords of the client as TypedDicts, which editors complete and type checkers check."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from pydantic import BaseModel

from longshore.producers.options.table import (
    VOCABULARY,
    OptionRow,
    docstrings,
    keyword_type,
    nested_models,
    options_of,
    rows_of,
)
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import DataOptions, EvaluateSpec, InferSpec, JobOptions
from longshore.shared.specs.search import CrossValidateSpec, TuneSpec
from longshore.shared.specs.train import TrainSpec

_HEAD = '''"""The keywords of the client's methods, by method. Generated from the specs; do not edit.

Edit the field of the spec in ``longshore/shared/specs`` and run ``python -m longshore.producers.options.generate``.
"""

# fmt: off
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from pydantic import BaseModel

    from longshore.producers.data import Data
    from longshore.shared.vocabulary import (
IMPORTED
    )

#: A value that can be written as JSON.
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class SearchInterval(TypedDict, total=False):
    """Numbers to search from ``low`` to ``high``, both included: whole numbers if both are whole."""

    low: int | float
    high: int | float
    log: bool
    """Every order of magnitude is equally likely. Default: False"""
    step: int | float
    """Only ``low``, ``low + step``, and so on. Default: any number, or 1 for whole numbers"""


#: The values to try, by the name of an option, or by ``config.`` and a key of the family.
SearchSpace: TypeAlias = "Mapping[str, Sequence[Json] | SearchInterval | Mapping[str, float | bool]]"
'''
#: Options that only Client.train has, because a search or a cross-validation sets them itself.
NOT_IN_SEARCH = frozenset({"devices", "strategy"})
NOT_IN_CROSS_VALIDATION = NOT_IN_SEARCH | {"validation", "test", "split", "alias", "promote_if"}


def render_typed_dicts() -> str:
    """The module ``longshore.producers.options.keywords``."""
    training = rows_of(TrainSpec, "train")
    common = [row for row in training if row.name not in NOT_IN_CROSS_VALIDATION]
    search = [row for row in training if row.name in NOT_IN_CROSS_VALIDATION - NOT_IN_SEARCH]
    alone = [row for row in training if row.name in NOT_IN_SEARCH]
    job = rows_of(JobOptions, "train")
    shards = [row for row in rows_of(JobOptions, "infer") if row not in job]
    data = rows_of(DataOptions, "train")
    blocks = [
        *(_nested(model) for model in dict.fromkeys(nested_models("train"))),
        _typed_dict("PromoteOptions", "TypedDict", "The options of every job.", job),
        _typed_dict("DataJobOptions", "PromoteOptions", "The options of every job that reads data.", data),
        _typed_dict("_TrainingOptions", "DataJobOptions", "The options of every training.", common),
        _typed_dict("_HeldOutOptions", "_TrainingOptions", "The options of trainings that end in a version.", search),
        _typed_dict("TrainOptions", "_HeldOutOptions", "The options of :meth:`Client.train`.", alone),
        _typed_dict("TuneOptions", "_HeldOutOptions", "The options of :meth:`Client.tune`.", rows_of(TuneSpec, "tune")),
        _typed_dict(
            "CrossValidateOptions",
            "_TrainingOptions",
            "The options of :meth:`Client.cross_validate`.",
            rows_of(CrossValidateSpec, "cross_validate"),
        ),
        _typed_dict(
            "InferOptions",
            "DataJobOptions",
            "The options of :meth:`Client.infer`.",
            [*rows_of(InferSpec, "infer"), *shards],
        ),
        _typed_dict(
            "GenerateOptions",
            "DataJobOptions",
            "The options of :meth:`Client.generate`.",
            [*rows_of(GenerateSpec, "generate"), *shards],
        ),
        _typed_dict(
            "EvaluateOptions",
            "DataJobOptions",
            "The options of :meth:`Client.evaluate`.",
            rows_of(EvaluateSpec, "evaluate"),
        ),
    ]
    assert {row.name for row in options_of("train")} == {row.name for row in (*training, *data, *job)}
    body = "\n\n\n".join(blocks)
    names = sorted(name for name in VOCABULARY.values() if re.search(rf"\b{name}\b", body))
    return _HEAD.replace("IMPORTED", "\n".join(f"        {name}," for name in names)) + "\n\n" + body + "\n"


def _typed_dict(name: str, base: str, docstring: str, rows: Iterable[OptionRow]) -> str:
    lines = [f"class {name}({base}, total=False):", f'    """{docstring}"""', ""]
    for row in rows:
        default = "" if row.default is None else f" Default: {row.default.replace(chr(39), chr(34))}."
        lines += [_field(row.name, row.keyword), *_docstring(row.description + default)]
    return "\n".join(lines)


def _nested(model: type[BaseModel]) -> str:
    texts = docstrings(model)
    lines = [f"class {model.__name__}Options(TypedDict, total=False):"]
    lines += [*_docstring(" ".join((model.__doc__ or "").split())), ""]
    for name, field in model.model_fields.items():
        default = "" if "Default:" in texts[name] or field.default is None else f" Default: {field.default!r}."
        lines += [
            _field(name, keyword_type(field.annotation)),
            *_docstring(texts[name] + default.replace("'", '"')),
        ]
    return "\n".join(lines)


def _field(name: str, keyword: str) -> str:
    line = f"    {name}: {keyword}"
    if len(line) <= 120:
        return line
    if keyword.startswith("Literal[") and keyword.endswith("]") and keyword.count("Literal[") == 1:
        return f"    {name}: Literal[\n        {keyword[8:-1]}\n    ]"
    parts = keyword.split(" | ")
    return f"    {name}: (\n        " + "\n        | ".join(parts) + "\n    )"


def _docstring(text: str) -> list[str]:
    if len(text) <= 110:
        return [f'    """{text}"""']
    lines = textwrap.wrap(text, 113, break_long_words=False, break_on_hyphens=False)
    return [f'    """{lines[0]}', *(f"    {line}" for line in lines[1:]), '    """']
