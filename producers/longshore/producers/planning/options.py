"""Sorting a request's options: those of the job, those of its spec, and those nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from longshore.shared.specs.jobs import JobOptions
from longshore.shared.specs.validation import build, unknown_option

#: The option that says what a file is, where its suffix does not.
FORMAT = "format"


@dataclass(frozen=True)
class Sorted:
    """One request's options, the job's checked already."""

    job: JobOptions
    spec: dict[str, object]
    format: str | None


def sort_options(options: Mapping[str, object], spec: type[BaseModel], given: frozenset[str]) -> Sorted:
    """Tell the options apart.

    :param given: fields of the spec that are arguments of their own, and no options.
    :raises InvalidInput: an option is unknown, or one of the job's has a wrong value.
    """
    of_spec = [name for name in spec.model_fields if name not in given]
    of_job = [name for name in JobOptions.model_fields if spec.__name__ == "InferSpec" or name != "rows_per_shard"]
    for name in options:
        if name not in of_spec and name not in of_job and name != FORMAT:
            raise unknown_option(name, "", [*of_spec, *of_job, FORMAT])
    job = build(JobOptions, {name: value for name, value in options.items() if name in of_job})
    form = options.get(FORMAT)
    return Sorted(
        job=job,
        spec={name: value for name, value in options.items() if name in of_spec},
        format=None if form is None else str(form),
    )
