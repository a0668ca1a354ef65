"""Specs of searches: the search space and the strategy; and of cross-validation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import NOT_AN_OPTION, Option
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build, shorten
from longshore.shared.vocabulary import Pruner, Sampler

#: Options that cannot be searched: they say what is trained, not how, and are the same for every trial.
FIXED = frozenset(
    {
        "model",
        "family",
        "data",
        "target",
        "task",
        "features",
        "alias",
        "promote_if",
        "validation",
        "test",
        "split",
        "stratify",
        "stream",
        "shuffle_window",
        "tokenizer",
        "tokenizer_digest",
        "devices",
        "strategy",
        "extends",
        "base",
        "base_digest",
        "teacher",
        "teacher_digest",
    }
)
#: Options that change the meaning of ``val_loss``. Class weights do not.
OF_LOSS = frozenset({"loss", "label_smoothing", "beta", "delta"})
#: Prefix of the options of the family, as in ``config.hidden``.
CONFIG = "config."
#: Maximum number of folds.
MAX_FOLDS = 100

#: Parameters of a trial by name: options of :class:`~longshore.shared.specs.train.TrainSpec`, or ``config.`` and a key.
Parameters = dict[str, JsonValue]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choices(_Part):
    """A set of values without an order."""

    choices: tuple[JsonValue, ...] = Field(min_length=1)


class Interval(_Part):
    """A number from ``low`` to ``high``, both included. An integer if both are integers."""

    low: int | float
    high: int | float
    #: Sample uniformly on a logarithmic scale.
    log: bool = False
    #: Only ``low``, ``low + step``, ... Default: 1 for integers, any number otherwise.
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        # Compared instead of converted: an integer can be too large for a float.
        if not -sys.float_info.max <= self.low <= self.high <= sys.float_info.max:
            raise ValueError(f"low {self.low} and high {self.high} are not an interval; low must not be above high")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low}: a logarithmic interval begins above 0")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic interval has no step; leave one of the two out")
        return self

    @property
    def whole(self) -> bool:
        """Whether the numbers are integers."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))


def _kind(value: object) -> str:
    fields = value if isinstance(value, Mapping) else vars(value)
    return "choices" if "choices" in fields else "interval"


#: The values to try for one option.
Part = Annotated[
    Annotated[Choices, Tag("choices")] | Annotated[Interval, Tag("interval")],
    Discriminator(_kind),
]


class TuneSpec(_Part):
    """Train with many combinations of options, and keep the best version."""

    #: The options of every trial, except those that are searched.
    train: Annotated[TrainSpec, NOT_AN_OPTION]
    #: The values to try, by the name of the option.
    space: Annotated[dict[str, Part], NOT_AN_OPTION] = Field(min_length=1)
    trials: Annotated[int, Field(ge=1, le=10_000)]
    """How many trainings to run. Default: 16; all combinations of a grid."""
    sampler: Sampler = "tpe"
    """``tpe`` learns from earlier trials, ``random`` does not, ``grid`` tries every combination."""
    metric: Annotated[str, Option(metavar="NAME")] = "val_loss"
    """The metric that decides which trial is best: the lowest loss or error, the highest value of anything else."""
    pruner: Pruner = "none"
    """End a trial early if it is worse than the median, or than the best quarter, of the others at the same epoch."""
    pruner_warmup: Annotated[int, Field(ge=0), Option(metavar="EPOCHS")] = 1
    """Epochs that a trial runs before it can be ended early."""

    @field_validator("space", mode="before")
    @classmethod
    def _read_space(cls, value: object) -> object:
        """Read a plain list as choices."""
        if not isinstance(value, Mapping):
            return value
        return {key: one if isinstance(one, Mapping | _Part) else {"choices": one} for key, one in value.items()}

    @property
    def minimise(self) -> bool:
        """Whether lower is better."""
        return lower_is_better(self.metric)

    def check(self) -> None:
        """Check that each option can be searched and every value is valid.

        :raises InvalidInput: names the option or the value.
        """
        if not self.metric.startswith("val_"):
            raise InvalidInput(
                "metric",
                f"{self.metric!r} is not measured on the validation rows; give one that is, like val_accuracy",
            )
        other = sorted(OF_LOSS & self.space.keys())
        if other and self.metric == "val_loss":
            raise InvalidInput(
                "metric",
                f"'val_loss' is not comparable between trials, because {', '.join(other)} is searched; give another",
            )
        for name, part in self.space.items():
            if name in FIXED or name == "config" or not _known(name):
                raise InvalidInput(f"space.{name}", _unknown(name))
            values = part.choices if isinstance(part, Choices) else (part.low, part.high)
            for value in values:
                try:
                    applied(self.train, {name: value}).check_family_options()
                except InvalidInput as error:
                    raise InvalidInput(f"space.{name}", f"{shorten(value)} is not valid: {error}") from None
        if self.sampler == "grid":
            self.grid()

    def grid(self) -> list[Parameters]:
        """Every combination, the last option changing fastest.

        :raises InvalidInput: an interval has no step, or there are too many combinations.
        """
        combinations: list[Parameters] = [{}]
        for name, part in self.space.items():
            values = part.choices if isinstance(part, Choices) else _steps(name, part)
            if len(combinations) * len(values) > 10_000:
                raise InvalidInput("space", "a grid has at most 10000 combinations; leave values out")
            combinations = [{**before, name: value} for before in combinations for value in values]
        return combinations


class CrossValidateSpec(_Part):
    """Train once for each fold, on all rows except those of the fold, and measure on the fold."""

    train: Annotated[TrainSpec, NOT_AN_OPTION]
    folds: Annotated[int, Field(ge=2, le=MAX_FOLDS)] = 5
    """How many folds the rows are divided into. Each fold measures one training."""


def applied(spec: TrainSpec, parameters: Parameters) -> TrainSpec:
    """Apply the parameters of a trial to ``spec``. :meth:`TrainSpec.check` checks combinations of them.

    :raises InvalidInput: a value is not valid.
    """
    config = {name.removeprefix(CONFIG): value for name, value in parameters.items() if name.startswith(CONFIG)}
    options = {name: value for name, value in parameters.items() if not name.startswith(CONFIG)}
    values = {**spec.model_dump(mode="json", exclude_defaults=True), **options}
    if config:
        values["config"] = {**spec.config, **config}
    return build(TrainSpec, values)


def lower_is_better(metric: str) -> bool:
    """Whether lower values of the metric are better: true for losses and errors."""
    return metric.rpartition("_")[2] in ("loss", "mae", "mse", "rmse", "perplexity")


def shown(parameters: Parameters) -> str:
    """Format parameters in one line: ``learning_rate=0.01 config.hidden=[64]``."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in parameters.items()
    )


def _known(name: str) -> bool:
    return (name.startswith(CONFIG) and len(name) > len(CONFIG)) or name in TrainSpec.model_fields


def _unknown(name: str) -> str:
    options = sorted(set(TrainSpec.model_fields) - FIXED - {"config"})
    return f"cannot be searched; the options are {', '.join(options)}, and {CONFIG}KEY of the family"


def _steps(name: str, part: Interval) -> list[JsonValue]:
    if part.step is None and not part.whole:
        raise InvalidInput(f"space.{name}", "a grid needs its values: give a list, or an interval with a step")
    step = part.step or 1
    count = int((part.high - part.low) / step + 1e-9) + 1
    if count > 10_000:
        raise InvalidInput(f"space.{name}", f"{count} values are too many for a grid; give a larger step")
    return [part.low + place * step for place in range(count)]
