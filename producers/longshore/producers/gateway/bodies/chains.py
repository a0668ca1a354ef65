"""The bodies that submit the next job of a chain."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

from pydantic import Field

from longshore.producers.aio.job import AsyncJob
from longshore.producers.gateway.bodies.data import Data, GenerateData, client_data, client_prompts, count_rows
from longshore.producers.gateway.bodies.jobs import Body, Options
from longshore.producers.gateway.bodies.options import OptionsOf
from longshore.producers.planning.chain import Promote

if TYPE_CHECKING:
    from longshore.producers.options.keywords import EvaluateOptions, GenerateOptions, InferOptions, PromoteOptions


class ThenInfer(Body):
    """Run the version over rows."""

    kind: Literal["infer"]
    data: Data
    options: Annotated[Options, OptionsOf("infer")] = Field(default_factory=dict)

    def rows(self) -> int:
        """How many come with it."""
        return count_rows(client_data(self.data), generates=False)

    def submit_after(self, job: AsyncJob) -> Awaitable[AsyncJob]:
        """Submit it."""
        data, options = client_data(self.data), cast("InferOptions", self.options)
        return job.then.submit(lambda planner: planner.infer(data, options))


class ThenGenerate(Body):
    """Generate texts with the version."""

    kind: Literal["generate"]
    data: GenerateData
    options: Annotated[Options, OptionsOf("generate")] = Field(default_factory=dict)

    def rows(self) -> int:
        """How many come with it."""
        return count_rows(client_prompts(self.data, self.options.get("format")), generates=True)

    def submit_after(self, job: AsyncJob) -> Awaitable[AsyncJob]:
        """Submit it."""
        data, options = client_prompts(self.data, self.options.get("format")), cast("GenerateOptions", self.options)
        return job.then.submit(lambda planner: planner.generate(data, options))


class ThenEvaluate(Body):
    """Measure the version on data whose targets are known."""

    kind: Literal["evaluate"]
    data: Data
    target: str | None = None
    """The column with the expected values. Default: the column that the version was trained on."""
    options: Annotated[Options, OptionsOf("evaluate")] = Field(default_factory=dict)

    def rows(self) -> int:
        """How many come with it."""
        return count_rows(client_data(self.data), generates=False)

    def submit_after(self, job: AsyncJob) -> Awaitable[AsyncJob]:
        """Submit it."""
        data, options = client_data(self.data), cast("EvaluateOptions", self.options)
        return job.then.submit(lambda planner: planner.evaluate(data, self.target, options))


class ThenPromote(Body):
    """Point an alias at the version."""

    kind: Literal["promote"]
    alias: Annotated[str, Field(examples=["production"])]
    if_: Annotated[str | None, Field(alias="if", examples=["accuracy >= 0.97 and accuracy >= production"])] = None
    """A condition on the metrics of the version."""
    options: Annotated[Options, OptionsOf("promote")] = Field(default_factory=dict)

    def submit_after(self, job: AsyncJob) -> Awaitable[AsyncJob]:
        """Submit it."""
        promotion = Promote(self.alias, self.if_, cast("PromoteOptions", self.options))
        return job.then.submit(lambda planner: planner.promote(promotion))


ThenBody: TypeAlias = Annotated[ThenInfer | ThenGenerate | ThenEvaluate | ThenPromote, Field(discriminator="kind")]


class ExtendBody(Body):
    """Go on with a training."""

    epochs: Annotated[int, Field(ge=1, strict=True, examples=[5])]
    """Additional epochs."""


class RetryBody(Body):
    """Which rows run again."""

    rows: Literal["failed"] | None = None
    """`failed` also runs the rows that have errors. Default: the shards that did not succeed."""
