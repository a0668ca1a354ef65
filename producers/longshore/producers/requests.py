"""What a producer asks for, before it is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

#: A path or URI of a file, or rows: a list of dict, a dict of columns, a NumPy array whose first axis counts rows, an
#: Arrow table or a pandas frame.
Data: TypeAlias = Union[
    str,
    "PathLike[str]",
    Sequence[Mapping[str, object]],
    Mapping[str, object],
    "np.ndarray[tuple[int, ...], np.dtype[np.generic]]",
    "pa.Table",
    "pa.RecordBatch",
    "pd.DataFrame",
]


@dataclass(frozen=True)
class Infer:
    """A request for inference: the options are those of :meth:`Client.infer`."""

    model: str
    data: Data
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Train:
    """A request for training: the options are those of :meth:`Client.train`."""

    model: str
    family: str
    data: Data
    target: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Tune:
    """A request for a search: the options are those of :meth:`Client.tune`."""

    model: str
    family: str
    data: Data
    target: str
    space: Mapping[str, object]
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CrossValidate:
    """A request for cross-validation: the options are those of :meth:`Client.cross_validate`."""

    model: str
    family: str
    data: Data
    target: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluate:
    """A request for evaluation: the options are those of :meth:`Client.evaluate`."""

    model: str
    data: Data
    #: ``None``: the column that the version was trained to predict.
    target: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)


Request: TypeAlias = Infer | Train | Evaluate | Tune | CrossValidate
