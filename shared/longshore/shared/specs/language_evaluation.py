"""How the texts of an evaluation are generated."""

from __future__ import annotations

from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import EvaluateSpec


def generation_of(spec: EvaluateSpec, *, checked: bool = False) -> GenerateSpec:
    """The options by which the rows of an evaluation are read and run.

    :param checked: with the schema, by which texts are checked. Default: without it, so that the model is not held to
        it.
    """
    return GenerateSpec(
        data=spec.data,
        max_tokens=spec.max_tokens,
        temperature=spec.temperature,
        system=spec.system,
        stop=spec.stop,
        seed=spec.seed,
        json_schema=spec.json_schema if checked else None,
        keep=(spec.target,),
    )
