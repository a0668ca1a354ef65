"""Divides the options of a request into those of the job and those of its spec, and refuses unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from longshore.shared.specs.base import is_option, keyword_of
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import InferSpec, JobOptions
from longshore.shared.specs.validation import build, unknown_option

#: The option for the format of a file whose suffix does not say it.
FORMAT = "format"
#: The specs of jobs that run in shards of rows.
WITH_SHARDS = (InferSpec, GenerateSpec)


@dataclass(frozen=True)
class SortedOptions:
    """The options of one request. Those of the job are already checked."""

    job: JobOptions
    spec: dict[str, object]
    format: str | None


def sort_options(options: Mapping[str, object], spec: type[BaseModel]) -> SortedOptions:
    """Divide the options of a request.

    :raises InvalidInput: an option is unknown, or an option of the job has a wrong value.
    """
    of_spec = [keyword_of(name, field) for name, field in spec.model_fields.items() if is_option(field)]
    of_job = [name for name in JobOptions.model_fields if spec in WITH_SHARDS or name != "rows_per_shard"]
    for name in options:
        if name not in of_spec and name not in of_job and name != FORMAT:
            raise unknown_option(name, "", [*of_spec, *of_job, FORMAT])
    job = build(JobOptions, {name: value for name, value in options.items() if name in of_job})
    form = options.get(FORMAT)
    return SortedOptions(
        job=job,
        spec={name: value for name, value in options.items() if name in of_spec},
        format=None if form is None else str(form),
    )
