"""The OpenAPI document, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from longshore.producers.gateway.app import make_app
from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.serving.bodies import JSON
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.settings import Settings

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Document:
    options = GatewaySettings()
    settings = Settings(redis_url="redis://", database_url="postgresql://", store="/", producer="tests")
    return make_app(settings, options, Admission(options)).openapi()


def test_every_json_body_has_examples_that_its_schema_takes(document: Document) -> None:
    checked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get(JSON)
            if content is None:
                continue
            assert content.get("examples"), f"{method} {path}"
            schema = {**content["schema"], "components": document["components"]}
            for name, example in content["examples"].items():
                wrong = [error.message for error in Draft202012Validator(schema).iter_errors(example["value"])]
                assert not wrong, (method, path, name, wrong)
                checked += 1
    assert checked >= 20


def test_operations_have_names_for_generated_clients(document: Document) -> None:
    names = [each["operationId"] for operations in document["paths"].values() for each in operations.values()]
    assert len(set(names)) == len(names)
    assert "submit_job" in names
