"""Reads the options of each kind of request from the fields of its specs."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from longshore.shared import vocabulary
from longshore.shared.specs.base import Option, is_option, keyword_of
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import DataOptions, EvaluateSpec, InferSpec, JobOptions
from longshore.shared.specs.search import CrossValidateSpec, TuneSpec
from longshore.shared.specs.train import TrainSpec

#: Defaults that say nothing to a reader; the description says what they mean.
_NO_DEFAULT: tuple[object, ...] = (None, (), {})
#: Models that a string is short for.
_SHORT_AS_STRINGS = ("Tokenizer", "ColumnPreprocess")
#: The names of the literals in the vocabulary, by their values.
VOCABULARY = {
    value: name for name, value in vars(vocabulary).items() if get_origin(value) in (Literal, Union, types.UnionType)
}


@dataclass(frozen=True)
class OptionRow:
    """One option, as its field describes it."""

    name: str
    #: The type of the keyword in Python.
    keyword: str
    #: The default in Python; ``None`` if the description says it in words.
    default: str | None
    #: The docstring of the field in one line.
    description: str
    #: The values to choose from, if there is a fixed list.
    choices: tuple[str, ...]
    #: How the command line reads the value.
    reader: str
    #: The option of the command line.
    flag: str
    metavar: str | None
    #: The heading under which the option is listed.
    section: str


#: The specs that hold the options of each kind of request, in the order of the help text.
SPECS: dict[str, tuple[type[BaseModel], ...]] = {
    "train": (TrainSpec, DataOptions, JobOptions),
    "tune": (TuneSpec, TrainSpec, DataOptions, JobOptions),
    "cross_validate": (CrossValidateSpec, TrainSpec, DataOptions, JobOptions),
    "infer": (InferSpec, DataOptions, JobOptions),
    "generate": (GenerateSpec, DataOptions, JobOptions),
    "evaluate": (EvaluateSpec, DataOptions, JobOptions),
    "promote": (JobOptions,),
}
#: Kinds of jobs that run in shards of rows.
WITH_SHARDS = ("infer", "generate")
#: The sections of specs that are not divided into components.
_SECTIONS = {
    TuneSpec: "Search",
    CrossValidateSpec: "Cross-validation",
    InferSpec: "Inference",
    GenerateSpec: "Generation",
    EvaluateSpec: "Evaluation",
}


def rows_of(spec: type[BaseModel], kind: str) -> list[OptionRow]:
    """The options in one spec, in the order of its fields.

    :param kind: the kind of request; only some have shards of a size; see :data:`WITH_SHARDS`.
    :raises LookupError: a field has no docstring.
    """
    return [
        _row(spec, name, field)
        for name, field in spec.model_fields.items()
        if is_option(field) and (name != "rows_per_shard" or kind in WITH_SHARDS)
    ]


def options_of(kind: str) -> list[OptionRow]:
    """All options of a kind of request."""
    return [row for spec in SPECS[kind] for row in rows_of(spec, kind)]


@cache
def docstrings(owner: type) -> dict[str, str]:
    """The docstrings below the attributes of a class, without those that it inherits."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            texts[statement.target.id] = " ".join(str(following.value.value).split())
    return texts


def _row(spec: type[BaseModel], name: str, field: FieldInfo) -> OptionRow:
    owner = next(base for base in spec.__mro__ if name in inspect.get_annotations(base))
    description = docstrings(owner).get(name)
    if not description:
        raise LookupError(f"{owner.__module__}.{owner.__name__}.{name} has no docstring below it")
    keyword = keyword_of(name, field)
    option = next((each for each in field.metadata if isinstance(each, Option)), Option())
    choices = _choices(field.annotation)
    default = field.get_default(call_default_factory=True)
    plain = None if field.is_required() or default in _NO_DEFAULT else repr(default)
    return OptionRow(
        name=keyword,
        keyword=option.keyword or keyword_type(field.annotation),
        default=None if "Default:" in description else plain,
        description=description,
        choices=choices,
        reader=option.reader or ("choice" if choices else _reader(field.annotation)),
        flag=option.flag or f"--{keyword.replace('_', '-')}",
        metavar=option.metavar,
        section=_SECTIONS.get(spec) or (inspect.getdoc(owner) or owner.__name__).rstrip("."),
    )


def nested_models(kind: str) -> Iterator[type[BaseModel]]:
    """The models that are the value of an option of a kind of request; those that others contain come first."""
    for spec in SPECS[kind]:
        for field in spec.model_fields.values():
            if is_option(field) and not any(isinstance(each, Option) and each.keyword for each in field.metadata):
                yield from _models_in(field.annotation)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for field in annotation.model_fields.values():
            yield from _models_in(field.annotation)
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def keyword_type(annotation: object) -> str:
    """The type that a caller writes for the annotation of a field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Literal, Union, types.UnionType) and annotation in VOCABULARY:
        return VOCABULARY[annotation]
    if annotation is type(None) or annotation is None:
        return "None"
    if origin is Annotated:
        return keyword_type(arguments[0])
    if origin is Literal:
        return f"Literal[{', '.join(repr(value).replace(chr(39), chr(34)) for value in arguments)}]"
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(keyword_type(each) for each in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        item = keyword_type(arguments[0])
        # A string is a sequence of strings, too, and is none here.
        return f"list[{item}] | tuple[{item}, ...]"
    if origin is tuple:
        return f"tuple[{', '.join(keyword_type(each) for each in arguments)}]"
    if origin is dict:
        return f"Mapping[{', '.join(keyword_type(each) for each in arguments)}]"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = " | str" if annotation.__name__ in _SHORT_AS_STRINGS else ""
        return f"{annotation.__name__}Options{text}"
    if isinstance(annotation, type):
        return annotation.__name__
    raise TypeError(f"no keyword type for {annotation}")


def _choices(annotation: object) -> tuple[str, ...]:
    """The values of a literal, if the annotation is one and nothing else."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return tuple(str(value) for value in arguments)
    if origin is Annotated:
        return _choices(arguments[0])
    if origin in (Union, types.UnionType):
        others = [each for each in arguments if each is not type(None)]
        return _choices(others[0]) if len(others) == 1 else ()
    return ()


def _reader(annotation: object) -> str:
    """How the command line reads a plain value: ``int``, ``float``, ``text``, ``flag`` or ``two_floats``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _reader(arguments[0])
    if origin in (Union, types.UnionType):
        [only] = [each for each in arguments if each is not type(None)]
        return _reader(only)
    if origin is tuple:
        return "two_floats"
    plain = {int: "int", float: "float", str: "text", bool: "flag"}
    if isinstance(annotation, type) and annotation in plain:
        return plain[annotation]
    raise TypeError(f"say how the command line reads {annotation}: Option(reader=...)")


def plain_text(description: str) -> str:
    """A description without the marks of reStructuredText."""
    return re.sub(r"``([^`]*)``", r"\1", description)
