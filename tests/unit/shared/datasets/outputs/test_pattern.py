"""Where output files lie and what they are called."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import InvalidInput

JOB = UUID(int=1)


def test_the_star_stands_for_the_job_and_the_shard() -> None:
    pattern = OutputPattern.parse("s3://bucket/out/day=1/part-*.v2.parquet")
    assert pattern.output_file(JOB, 7) == f"part-{JOB}-00007.v2.parquet"
    assert pattern.uri(pattern.output_file(JOB, 7)) == f"s3://bucket/out/day=1/part-{JOB}-00007.v2.parquet"
    assert pattern.hidden(JOB, 7, 2) == f"_longshore-{JOB}/7-2.parquet"
    assert pattern.address == "s3://bucket/out/day=1/part-*.v2.parquet"
    assert OutputPattern.parse(pattern.address) == pattern
    assert pattern.matches("part-anything.v2.parquet")
    assert not pattern.matches("part-anything.parquet")


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert OutputPattern.parse("*.jsonl").folder == str(tmp_path)
    assert OutputPattern.parse("out/*.jsonl").address == f"{tmp_path}/out/*.jsonl"
    assert OutputPattern.parse(f"file://{tmp_path}/*.parquet").folder == str(tmp_path)
    assert OutputPattern.parse("/*.parquet").uri("x") == "/x"


@pytest.mark.parametrize(
    "address",
    [
        *("", "out", "out/", "out/*", "out/*.csv", "out/x.parquet", "out/**.parquet", "o*t/*.parquet", "out/*-*.jsonl"),
        *("s3://*.parquet", "http://host/*.parquet", "memory://out/*.parquet", "s3://bucket/*.parquet?key=secret"),
        *("zip://*.parquet::s3://bucket/a.zip", "out/_*.parquet", "out/.*.parquet", "out\0/*.parquet"),
    ],
)
def test_what_is_no_pattern_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"^output: ") as error:
        OutputPattern.parse(address)
    assert "secret" not in str(error.value)
