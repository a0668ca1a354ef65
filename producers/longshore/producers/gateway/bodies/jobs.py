"""The bodies that submit jobs. Each has the fields and the options of the client's method of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SkipValidation

from longshore.producers.gateway.bodies.data import Data, GenerateData, client_data, client_options, client_prompts
from longshore.producers.gateway.bodies.options import OptionsOf
from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Request, Train, Tune

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

#: Requests of one call, at most.
MAX_REQUESTS: Final = 1000

#: The names of options and their values. Planning checks them.
Options: TypeAlias = Mapping[str, JsonValue]
Reference: TypeAlias = Annotated[
    str, Field(description="A version: `digits`, `digits:3` or `digits@production`.", examples=["digits@production"])
]
NewModel: TypeAlias = Annotated[str, Field(description="The model that gets a new version.", examples=["digits"])]
Family: TypeAlias = Annotated[str, Field(description="The kind of network.", examples=["mlp"])]
Target: TypeAlias = Annotated[str, Field(description="The column to predict.", examples=["label"])]
Space: TypeAlias = Annotated[
    Mapping[str, list[JsonValue] | dict[str, float | bool]],
    SkipValidation,
    Field(
        description="The values to try, by the name of an option, or by `config.` and a key of the family.",
        examples=[{"learning_rate": {"low": 0.0001, "high": 0.1, "log": True}, "batch_size": [32, 64]}],
    ),
]


class Body(BaseModel):
    """A body whose fields are all known."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class InferBody(Body):
    """Run a version over rows."""

    kind: Literal["infer"]
    model: Reference
    data: Data
    options: Annotated[Options, OptionsOf("infer")] = Field(default_factory=dict)

    def request(self) -> Request:
        """As the client takes it."""
        return Infer(self.model, client_data(self.data), cast("InferOptions", self.options))


class GenerateBody(Body):
    """Generate texts with a language model."""

    kind: Literal["generate"]
    model: Reference
    data: GenerateData
    options: Annotated[Options, OptionsOf("generate")] = Field(default_factory=dict)

    def request(self) -> Request:
        """As the client takes it."""
        data = client_prompts(self.data, self.options.get("format"))
        return Generate(self.model, data, cast("GenerateOptions", self.options))


class TrainBody(Body):
    """Train a new version of a model."""

    kind: Literal["train"]
    model: NewModel
    family: Family
    data: Data
    target: Target | None = None
    """The column to predict. Default: `text` for language models; other families need it."""
    options: Annotated[Options, OptionsOf("train")] = Field(default_factory=dict)

    def request(self) -> Request:
        """As the client takes it."""
        options = cast("TrainOptions", client_options(self.options))
        return Train(self.model, self.family, client_data(self.data), self.target, options)


class TuneBody(Body):
    """Search for the best training."""

    kind: Literal["tune"]
    model: NewModel
    family: Family
    data: Data
    target: Target
    space: Space
    options: Annotated[Options, OptionsOf("tune")] = Field(default_factory=dict)

    def request(self) -> Request:
        """As the client takes it."""
        space, options = cast("SearchSpace", self.space), cast("TuneOptions", client_options(self.options))
        return Tune(self.model, self.family, client_data(self.data), self.target, space, options)


class CrossValidateBody(Body):
    """Train once for each fold, and measure on that fold."""

    kind: Literal["cross_validate"]
    model: NewModel
    family: Family
    data: Data
    target: Target
    options: Annotated[Options, OptionsOf("cross_validate")] = Field(default_factory=dict)

    def request(self) -> Request:
        """As the client takes it."""
        options = cast("CrossValidateOptions", client_options(self.options))
        return CrossValidate(self.model, self.family, client_data(self.data), self.target, options)


class EvaluateBody(Body):
    """Measure a version on data whose targets are known."""

    kind: Literal["evaluate"]
    model: Reference
    data: Data
    target: str | None = None
    """The column with the expected values. Default: the column that the version was trained on."""
    options: Annotated[Options, OptionsOf("evaluate")] = Field(default_factory=dict)

    def request(self) -> Request:
        """As the client takes it."""
        return Evaluate(self.model, client_data(self.data), self.target, cast("EvaluateOptions", self.options))


JobBody: TypeAlias = Annotated[
    InferBody | GenerateBody | TrainBody | TuneBody | CrossValidateBody | EvaluateBody, Field(discriminator="kind")
]


class BatchBody(Body):
    """Many jobs, submitted in one transaction: all of them, or none."""

    requests: Annotated[list[JobBody], Field(min_length=1, max_length=MAX_REQUESTS)]
