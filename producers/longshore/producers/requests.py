"""Requests of :meth:`Client.submit_many`, before they are checked."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Unpack
from uuid import UUID

from longshore.producers.data import Data as Data
from longshore.producers.data import GenerateData

if TYPE_CHECKING:
    from longshore.producers.options.keywords import (
        CrossValidateOptions,
        EvaluateOptions,
        GenerateOptions,
        InferOptions,
        SearchSpace,
        TrainOptions,
        TuneOptions,
    )


@dataclass(frozen=True, init=False)
class Infer:
    """A request for inference, as :meth:`Client.infer` takes it."""

    model: str
    data: Data
    options: InferOptions
    #: Whether each output has the tokens of its text, as ``usage``.
    counts_tokens: bool

    def __init__(
        self,
        model: str,
        data: Data,
        options: InferOptions | None = None,
        *,
        counts_tokens: bool = False,
        **keywords: Unpack[InferOptions],
    ) -> None:
        """:param options: the options as a dict; they can also be given as keywords."""
        _set(self, model=model, data=data, options={**(options or {}), **keywords}, counts_tokens=counts_tokens)


@dataclass(frozen=True, init=False)
class Generate:
    """A request for texts, as :meth:`Client.generate` takes it."""

    model: str
    data: GenerateData
    options: GenerateOptions
    #: The id of the job, whose texts are published while they are written; ``None``: they are not.
    streamed_as: UUID | None

    def __init__(
        self,
        model: str,
        data: GenerateData,
        options: GenerateOptions | None = None,
        *,
        streamed_as: UUID | None = None,
        **keywords: Unpack[GenerateOptions],
    ) -> None:
        """:param options: the options as a dict; they can also be given as keywords."""
        _set(self, model=model, data=data, options={**(options or {}), **keywords}, streamed_as=streamed_as)


@dataclass(frozen=True, init=False)
class Train:
    """A request for training, as :meth:`Client.train` takes it."""

    model: str
    family: str
    data: Data
    #: ``None`` only for language models: the column ``text``.
    target: str | None
    options: TrainOptions

    def __init__(
        self,
        model: str,
        family: str,
        data: Data,
        target: str | None = None,
        options: TrainOptions | None = None,
        **keywords: Unpack[TrainOptions],
    ) -> None:
        """:param options: the options as a dict; they can also be given as keywords."""
        _set(self, model=model, family=family, data=data, target=target, options={**(options or {}), **keywords})


@dataclass(frozen=True, init=False)
class Tune:
    """A request for a search, as :meth:`Client.tune` takes it."""

    model: str
    family: str
    data: Data
    target: str
    space: SearchSpace
    options: TuneOptions

    def __init__(
        self,
        model: str,
        family: str,
        data: Data,
        target: str,
        space: SearchSpace,
        options: TuneOptions | None = None,
        **keywords: Unpack[TuneOptions],
    ) -> None:
        """:param options: the options as a dict; they can also be given as keywords."""
        _set(self, model=model, family=family, data=data, target=target, space=space)
        _set(self, options={**(options or {}), **keywords})


@dataclass(frozen=True, init=False)
class CrossValidate:
    """A request for cross-validation, as :meth:`Client.cross_validate` takes it."""

    model: str
    family: str
    data: Data
    target: str
    options: CrossValidateOptions

    def __init__(
        self,
        model: str,
        family: str,
        data: Data,
        target: str,
        options: CrossValidateOptions | None = None,
        **keywords: Unpack[CrossValidateOptions],
    ) -> None:
        """:param options: the options as a dict; they can also be given as keywords."""
        _set(self, model=model, family=family, data=data, target=target, options={**(options or {}), **keywords})


@dataclass(frozen=True, init=False)
class Evaluate:
    """A request for evaluation, as :meth:`Client.evaluate` takes it."""

    model: str
    data: Data
    #: ``None``: the column that the version was trained to predict.
    target: str | None
    options: EvaluateOptions

    def __init__(
        self,
        model: str,
        data: Data,
        target: str | None = None,
        options: EvaluateOptions | None = None,
        **keywords: Unpack[EvaluateOptions],
    ) -> None:
        """:param options: the options as a dict; they can also be given as keywords."""
        _set(self, model=model, data=data, target=target, options={**(options or {}), **keywords})


Request: TypeAlias = Infer | Generate | Train | Evaluate | Tune | CrossValidate


def with_key(request: Request, key: str | None) -> Request:
    """The request with an idempotency key, unless it has one; ``None`` leaves it as it is."""
    if key is None:
        return request
    copied = copy(request)
    _set(copied, options={"idempotency_key": key, **request.options})
    return copied


def with_data(request: Request, data: Data) -> Request:
    """The request with other data, of which the format is known."""
    copied = copy(request)
    options = {name: value for name, value in request.options.items() if name != "format"}
    _set(copied, data=data, options=options)
    return copied


def _set(request: Request, **values: object) -> None:
    """Set the fields of a frozen request."""
    request.__dict__.update(values)
