"""Rows to try a program with several inputs, or with inputs that are not float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from longshore.shared.datasets.columns.tensors import Tensor
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.runtimes.row_check import TRIAL_ROWS

_SEED = 20_240_601
#: Integers of each window are below this number: many programs take them as indexes.
_INTEGERS = (2, 2, 10)
#: Texts for a program of which none are known.
_TEXTS = ("a", "b", "c")


def trial_tensors(signature: Signature, vocabulary: Mapping[str, Sequence[str]]) -> Iterator[dict[str | None, Tensor]]:
    """Windows for ``row_check.check_rows``: the values of each input, ``(TRIAL_ROWS, width)``.

    :param vocabulary: texts that the program knows, by input.
    """
    generator = np.random.default_rng(_SEED)
    for window, below in enumerate(_INTEGERS):
        # The second window has whole numbers only, which are valid as indexes.
        yield {
            name: _values(features, vocabulary, generator, below, whole=window == 1)
            for name, features in signature.inputs.items()
        }


def _values(
    features: Sequence[Feature],
    vocabulary: Mapping[str, Sequence[str]],
    generator: np.random.Generator,
    below: int,
    *,
    whole: bool,
) -> Tensor:
    shape = (TRIAL_ROWS, sum(feature.size for feature in features))
    dtype = features[0].dtype or "float32"
    if dtype == "string":
        texts = vocabulary.get(features[0].input or "") or next(iter(vocabulary.values()), _TEXTS)
        return np.array(texts, object)[generator.integers(0, len(texts), shape)]
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_)
    if np.dtype(dtype).kind == "f" and not whole:
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, below, shape).astype(dtype)
