"""What travels over HTTP is the same on the other side."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from pydantic import BaseModel

from longshore.producers.documents.jobs import job_document
from longshore.producers.documents.json_text import to_json
from longshore.producers.gateway.problems import problem_of, response_to
from longshore.producers.http.data import RequestBodies
from longshore.producers.http.errors import read_problem
from longshore.producers.http.records import job_record
from longshore.producers.reporting.progress import progress_of
from longshore.producers.requests import Evaluate, Generate
from longshore.shared.errors import (
    AliasMoved,
    InvalidInput,
    LongshoreError,
    NotPromoted,
    QueueFull,
    ResultsPruned,
    UnknownJob,
    UnknownModel,
    VersionInUse,
)
from longshore.shared.vocabulary import JobKind, State
from tests.unit.producers.cli.views.test_json_documents import JOB


def test_a_job_and_its_progress_are_the_same() -> None:
    started = JOB.created_at + timedelta(seconds=2)
    job = replace(
        JOB,
        spec={"data": {"uri": "/rows.csv", "format": "csv"}},
        started_at=started,
        read_at=started + timedelta(seconds=40),
        rows_before_retry=23,
        notes=["a note"],
        usage={"prompt_tokens": 10},
        depends_on=UUID(int=2),
    )
    read = job_record(json.loads(to_json(job_document(job))))
    assert (read, read.read_at) == (job, job.read_at)
    assert progress_of(read) == progress_of(job)


@pytest.mark.parametrize("kind", [JobKind.TRAIN, JobKind.INFER])
def test_the_speed_and_the_time_left_of_a_job_that_runs_are_the_same(kind: JobKind) -> None:
    running = replace(JOB, kind=kind, state=State.RUNNING, rows_total=40, rows_done=0, rows_failed=0)
    started = replace(running, started_at=JOB.created_at, read_at=JOB.created_at + timedelta(seconds=17.25))
    for rows, span in ((1, None), (7, [6.0, 12.0, 0.5]), (7, [6.0, 13.0, 9.0])):
        job = replace(started, rows_running=rows, progress_span=span)
        read = job_record(json.loads(to_json(job_document(job))))
        assert (read.progress_span, progress_of(read)) == (span, progress_of(job))


def test_a_gateway_of_an_earlier_release_may_send_less() -> None:
    started = datetime.now(UTC) - timedelta(seconds=100)
    job = replace(JOB, started_at=started, read_at=started, progress_span=[6.0, 12.0, 0.5])
    document = json.loads(to_json(job_document(job)))
    for name in ("seconds", "progress_span"):
        del document[name]
    progress = progress_of(job_record(document))
    assert progress.rate == pytest.approx(progress.done / progress.seconds)
    assert progress.seconds >= 100


@pytest.mark.parametrize("kind", [InvalidInput, UnknownModel, UnknownJob, VersionInUse, ResultsPruned, QueueFull])
def test_errors_of_a_field_are_the_same(kind: type[InvalidInput]) -> None:
    error = _travelled(kind("requests[1].options.batch_size", "-1: must be above 0"))
    assert type(error) is kind
    assert isinstance(error, InvalidInput)
    assert (error.field, error.reason) == ("requests[1].batch_size", "-1: must be above 0")


@pytest.mark.parametrize("error", [NotPromoted("accuracy is 0.5"), AliasMoved("moved")])
def test_other_errors_are_the_same(error: LongshoreError) -> None:
    travelled = _travelled(error)
    assert (type(travelled), str(travelled)) == (type(error), str(error))


def _travelled(error: LongshoreError) -> LongshoreError:
    sent = response_to(problem_of(error))
    return read_problem(httpx.Response(sent.status_code, headers=dict(sent.headers), content=bytes(sent.body))).error()


class Person(BaseModel):
    name: str


def test_a_class_travels_as_its_schema() -> None:
    bodies = RequestBodies(lambda _: "")
    for request in (
        Generate("chat:1", ["a"], schema=Person),
        Evaluate("chat:1", [{"prompt": "a"}], "b", schema=Person),
    ):
        assert bodies.request(request)["options"] == {"schema": Person.model_json_schema()}
