"""No password becomes a part of a job."""

from __future__ import annotations

import pytest

from longshore.producers.planning.output_files import settle_output
from longshore.shared.datasets.detect import detect
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import FileInput, InferSpec

DATA = FileInput(uri="/rows.csv", format="csv")


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:hunter2@host/rows.csv",
        "sftp://ann:hunter2@host/rows.csv",
        "s3://key:hunter2@bucket/rows.csv",
        "simplecache::sftp://ann:hunter2@host/rows.csv",
        "https://host/rows.csv?X-Amz-Credential=a&X-Amz-Signature=hunter2",
        "https://host/rows.csv?sv=2020&sig=hunter2",
        "https://host/rows.csv?api_key=hunter2",
        "https://host/rows.csv?access_token=hunter2",
        "https://ann%3Ahunter2@host/rows.csv",
    ],
)
def test_credentials_in_addresses_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="which would be stored with the job") as error:
        detect(url)
    assert error.value.field == "data"
    assert "hunter2" not in str(error.value)
    with pytest.raises(InvalidInput) as error:
        settle_output(InferSpec(data=DATA, output=url.replace("rows.csv", "*.jsonl")))
    assert error.value.field == "output"
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["memory://none/rows.csv?version=3", "memory://ann@none/rows.csv?monkey=1"])
def test_other_parameters_are_no_secrets(url: str) -> None:
    with pytest.raises(InvalidInput) as error:
        detect(url)
    assert "stored with the job" not in str(error.value)
