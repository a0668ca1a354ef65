"""The preprocessing of columns as a layer, for programs outside of Longshore: workers preprocess columns with Arrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from longshore.shared.datasets.preprocess.dates import FIRST_WEEKDAY, YEAR
from longshore.shared.specs.signature import Feature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform
from longshore.shared.vocabulary import DatePart

#: Days of a week.
_WEEK = 7


class RawColumns(nn.Module):
    """A network for the columns of a table, as they are in the data: n rows to ``(n, outputs)``.

    It takes one tensor for each feature, in their order: for a number float64 ``(n, 1)``, or ``(n, width)``, with NaN
    for a missing one; for a date float64 ``(n, 1)``, the days since 1970-01-01, with NaN for a missing one; and for a
    category its code, float32 ``(n, 1)``. The outputs of a row that is an error in Longshore, such as one with a
    missing value that no row to train on had, are NaN.

    :param features: the columns of a signature, without texts.
    :param network: from encoded rows, float32 ``(n, features' sizes)``, to ``(n, outputs)``.
    """

    def __init__(self, features: Sequence[Feature], network: nn.Module) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([_encoder(feature) for feature in features])
        self.network = network

    def forward(self, *columns: torch.Tensor) -> torch.Tensor:
        """See the class."""
        encoded = [encoder(column) for encoder, column in zip(self.encoders, columns, strict=True)]
        rows = torch.cat(encoded, dim=1)
        outputs: torch.Tensor = self.network(rows)
        # A network can make a number of NaN: relu does on some runtimes.
        return torch.where(torch.isfinite(rows).all(dim=1, keepdim=True), outputs, math.nan)


def _encoder(feature: Feature) -> nn.Module:
    transform = feature.transform
    if transform is None:
        return _PlainColumn(feature.offsets)
    if isinstance(transform, NumberTransform):
        return _NumberColumn(transform, feature.offset)
    if isinstance(transform, DateTransform):
        return _DateColumn(transform)
    if isinstance(transform, CategoryTransform):
        return nn.Identity()
    raise TypeError(f"{feature.name!r} is a text, whose words are not hashed here")


class _WithConstants(nn.Module):
    """A layer with float64 constants: exporters round those in the code to float32."""

    def keep(self, name: str, values: float | Sequence[float]) -> None:
        self.register_buffer(name, torch.tensor(values, dtype=torch.float64))


class _PlainColumn(_WithConstants):
    """Numbers ``(n, width)`` without a transform."""

    offsets: torch.Tensor

    def __init__(self, offsets: Sequence[float] | None) -> None:
        super().__init__()
        self.keep("offsets", [0.0] if offsets is None else offsets)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.sub(self.offsets).float()


class _NumberColumn(_WithConstants):
    """See ``encode_numbers``."""

    fill: torch.Tensor
    offset: torch.Tensor

    def __init__(self, transform: NumberTransform, offset: float) -> None:
        super().__init__()
        self.scale: nn.Module = nn.Identity()
        if transform.scale == "log":
            self.scale = _LogScale()
        elif transform.scale == "quantile":
            self.scale = _QuantileScale(transform.points)
        self.keep("fill", math.nan if transform.fill is None else transform.fill)
        self.keep("offset", offset)
        self.indicator = transform.indicator

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        missing = torch.isnan(values)
        scaled = self.scale(torch.where(missing, self.fill, values)).sub(self.offset).float()
        return torch.cat([scaled, missing.float()], dim=1) if self.indicator else scaled


class _LogScale(nn.Module):
    """sign(x) · log(1 + |x|), exact for small x also where a runtime has no operator for it."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        size = values.abs()
        more = size + 1
        # W. Kahan: the error of rounding 1 + |x| cancels out of the quotient.
        logs = torch.where(more == 1, size, more.log() * (size / (more - 1)))
        return logs * values.sign()


class _QuantileScale(_WithConstants):
    """Linear between points, constant outside of them."""

    starts: torch.Tensor
    gaps: torch.Tensor
    first: torch.Tensor
    steps: torch.Tensor

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        at, scores = zip(*points, strict=True)
        self.keep("starts", at[:-1])
        self.keep("gaps", [right - left for left, right in pairwise(at)])
        self.keep("first", scores[0])
        self.keep("steps", [right - left for left, right in pairwise(scores)])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        scores = self.first
        if len(self.steps):
            # How far along each segment a value is: 1 for those before it, 0 for those after it.
            shares = values.sub(self.starts).div(self.gaps).clamp(0, 1)
            scores = scores + shares @ self.steps[:, None]
        return torch.where(torch.isfinite(values), scores, values)


class _DateColumn(_WithConstants):
    """See ``encode_dates``."""

    fill: torch.Tensor
    origin: torch.Tensor
    weekdays: torch.Tensor
    year: torch.Tensor
    turn: torch.Tensor
    shift: torch.Tensor

    def __init__(self, transform: DateTransform) -> None:
        super().__init__()
        self.parts, self.indicator = transform.parts, transform.indicator
        self.keep("fill", math.nan if transform.fill is None else transform.fill)
        self.keep("origin", transform.origin)
        self.keep("weekdays", list(range(_WEEK)))
        self.keep("year", YEAR)
        self.keep("turn", 2 * math.pi)
        #: The cosine is a shifted sine, which more runtimes compute in 64 bits.
        self.keep("shift", [0.0, math.pi / 2])

    def forward(self, days: torch.Tensor) -> torch.Tensor:
        missing = torch.isnan(days)
        days = torch.where(missing, self.fill, days)
        encoded = [self._part(part, days).float() for part in self.parts]
        return torch.cat([*encoded, missing.float()] if self.indicator else encoded, dim=1)

    def _part(self, part: DatePart, days: torch.Tensor) -> torch.Tensor:
        if part == "time":
            return days - self.origin
        whole = days.floor()
        if part == "weekday":
            day = whole + FIRST_WEEKDAY
            day = day - (day / _WEEK).floor() * _WEEK
            return torch.where(torch.isfinite(days), (day == self.weekdays).double(), days)
        turns = days / self.year if part == "season" else days - whole
        return torch.sin(turns * self.turn + self.shift)
