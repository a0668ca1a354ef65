"""What an editor shows of the SDK: every public signature says what it takes and gives."""

from __future__ import annotations

import inspect
import re

import pytest

from longshore import producers
from longshore.producers.aio.models import AsyncModels
from longshore.producers.http.aio.client import AsyncHttpClient
from longshore.producers.http.aio.job import AsyncHttpJob
from longshore.producers.http.client import HttpClient
from longshore.producers.http.job import HttpJob
from longshore.producers.http.models import HttpModels
from longshore.producers.http.then import HttpThen
from longshore.producers.models.client import ModelsClient
from longshore.producers.then import Then

#: Says nothing.
VAGUE = re.compile(r"\b(Any|object)\b")
CLASSES = [getattr(producers, name) for name in producers.__all__] + [ModelsClient, AsyncModels, Then]
CLASSES += [HttpClient, HttpJob, HttpModels, HttpThen, AsyncHttpClient, AsyncHttpJob]


def functions(of: type) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, member in vars(of).items():
        if name.startswith("_") and name not in ("__init__", "__await__"):
            continue
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function):
            found.append((name, function))
    return found


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.__name__)
def test_no_signature_is_vague(of: type) -> None:
    for name, function in functions(of):
        assert callable(function)
        signature = inspect.signature(function)
        annotations = [each.annotation for each in list(signature.parameters.values())[1:]]
        for annotation in [*annotations, signature.return_annotation]:
            assert annotation is not inspect.Parameter.empty, name
            assert not VAGUE.search(str(annotation)), (name, annotation)


@pytest.mark.parametrize("of", CLASSES, ids=lambda of: of.__name__)
def test_every_method_is_described(of: type) -> None:
    for name, function in functions(of):
        if not name.startswith("__"):
            assert function.__doc__, name
