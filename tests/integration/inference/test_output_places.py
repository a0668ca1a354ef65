"""Where output files may lie, what is refused at submission, and what is said of a job that writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.core import url_to_fs

from longshore.producers import Client, Infer
from longshore.shared.errors import InvalidInput
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.integration.s3_server import s3_server
from tests.waiting import TIMEOUT_S

ROWS = 5


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    """The variables by which an S3 server is found."""
    with s3_server() as environment:
        yield environment


@pytest.fixture(scope="module")
def worker_environment(s3: Mapping[str, str]) -> Mapping[str, str]:
    return {"LONGSHORE_LEASE": "2", **s3}


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[Client]:
    with cluster.client() as client:
        client.train("points", "linear", _rows(), "y", epochs=1, features=["x"], validation=0).wait(TIMEOUT_S)
        yield client


@pytest.fixture(scope="module")
def run_command(cluster: Cluster, client: Client) -> CommandLine:
    return CommandLine(cluster.environment)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "rows.parquet"
    path.parent.mkdir()
    pq.write_table(_rows(), path)
    return path


def _rows() -> pa.Table:
    numbers = [float(row) for row in range(ROWS)]
    return pa.table({"x": numbers, "y": numbers, "id": range(ROWS), "raw": [b"raw"] * ROWS})


def job_count(cluster: Cluster) -> object:
    with cluster.ledger.database.connection() as link:
        return link.execute("SELECT count(*) FROM jobs").fetchone()


def test_parts_in_a_bucket(client: Client, data: Path, s3: Mapping[str, str]) -> None:
    files, _ = url_to_fs("s3://bucket/")
    files.mkdir("bucket")
    job = client.infer("points:1", data, output="s3://bucket/a/b/*.parquet", keep=["id"], rows_per_shard=2)
    assert job.wait(TIMEOUT_S).parts() == [f"s3://bucket/a/b/{job.id}-{number:05}.parquet" for number in range(3)]
    rows = pa.concat_tables([pq.read_table(part) for part in _opened(job.parts())])
    assert rows.column_names == ["row", "id", "value"]
    assert rows["id"].to_pylist() == rows["row"].to_pylist() == list(range(ROWS))
    files.invalidate_cache()
    # Nothing hidden is left behind.
    assert sorted(files.find("bucket")) == [part.removeprefix("s3://") for part in job.parts()]
    with pytest.raises(InvalidInput, match=r"^output: s3://bucket/a/b/.*-00000.parquet is there already"):
        client.infer("points:1", data, output="s3://bucket/a/b/*.parquet")


def _opened(uris: list[str]) -> Iterator[pa.BufferReader]:
    for uri in uris:
        files, path = url_to_fs(uri)
        yield pa.BufferReader(files.cat_file(path))


def test_a_bucket_that_is_not_there_fails_the_job_and_is_not_made(client: Client, data: Path, cluster: Cluster) -> None:
    job = client.infer("points:1", data, output="s3://no-such-bucket/*.parquet", max_attempts=1)
    client.wait([job], TIMEOUT_S)
    assert "cannot write s3://no-such-bucket/_longshore-" in job.errors()[0].message
    assert not url_to_fs("s3://no-such-bucket/")[0].exists("no-such-bucket")


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"keep": ["nothing"]}, "keep", "no column 'nothing'; the data has 'x', 'y'"),
        ({"results": False}, "results", "the outputs would go nowhere"),
        ({"output": "{out}"}, "output", "give a folder and a name with one *"),
        ({"output": "{out}/*.csv"}, "output", "give a folder and a name with one *"),
        ({"output": "{out}/x.parquet"}, "output", "give a folder and a name with one *"),
        ({"output": "https://host/*.parquet"}, "output", "cannot be written to https://"),
        ({"output": "nobody://host/*.parquet"}, "output", "nobody"),
        ({"output": "{in}/rows.parquet/*.parquet"}, "output", "rows.parquet is not a folder"),
        ({"output": "{in}/*.parquet"}, "output", "in/rows.parquet is there already"),
        ({"output": "{in}/r*.parquet"}, "output", "in/rows.parquet is there already"),
        ({"output": "{out}/*.parquet", "keep": ["nothing"]}, "keep", "no column 'nothing'; the data has 'x', 'y'"),
        ({"output": "{out}/*.parquet", "keep": ["id", "id"]}, "keep", "'id' stands there 2 times"),
        ({"output": "{out}/*.parquet", "keep": ["score"]}, "keep", "'score' is a column of the outputs"),
        ({"output": "{out}/*.parquet", "keep": ["row"]}, "keep", "'row' is a column of the outputs"),
        ({"output": "{out}/*.jsonl", "keep": ["raw"]}, "keep", "'raw' holds binary, which jsonl files cannot"),
    ],
)
def test_what_cannot_be_written_is_refused(
    cluster: Cluster, client: Client, data: Path, tmp_path: Path, options: dict[str, object], field: str, reason: str
) -> None:
    before = job_count(cluster)
    output = options.get("output")
    if output is not None:
        options = {
            **options,
            "output": str(output).replace("{in}", str(data.parent)).replace("{out}", f"{tmp_path}/out"),
        }
    with pytest.raises(InvalidInput, match=reason) as error:
        client.infer("points:1", data, **options)  # type: ignore[arg-type]
    assert error.value.field == field
    assert job_count(cluster) == before
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("{in}/*.parquet", "{in}/o-*.parquet"),
        *(
            (source, output)
            for source in ("{in}", "{in}/", "{up}/**/*.parquet", "{up}/i*", "{up}/[h-j]n")
            for output in ("{in}/o-*.parquet", "{in}/deeper/*.parquet")
        ),
    ],
)
def test_files_among_those_of_the_input_are_refused(client: Client, data: Path, source: str, output: str) -> None:
    places = {"in": str(data.parent), "up": str(data.parent.parent)}
    with pytest.raises(InvalidInput, match="would lie among those of the input") as error:
        client.infer("points:1", source.format(**places), output=output.format(**places))
    assert error.value.field == "output"


def test_files_beside_those_of_the_input_are_not(client: Client, data: Path) -> None:
    place = data.parent
    outputs = [f"{place}/*.jsonl", f"{place}/_hidden/*.parquet", f"{place}-of/*.parquet", f"{place}/deeper/*.jsonl"]
    jobs = [client.infer("points:1", f"{place}/", output=output) for output in outputs]
    jobs.append(client.infer("points:1", f"{place}/*.parquet", output=f"{place}/deeper/*.parquet"))
    client.wait(jobs, TIMEOUT_S)
    assert [len(job.parts()) for job in jobs] == [1] * len(jobs)


def test_files_that_match_already_are_refused_but_to_the_request_that_made_them(
    client: Client, data: Path, tmp_path: Path
) -> None:
    output = f"{tmp_path}/out/*.parquet"
    job = client.infer("points:1", data, output=output, idempotency_key=f"once in {tmp_path}").wait(TIMEOUT_S)
    part = re.escape(job.parts()[0])
    with pytest.raises(InvalidInput, match=f"^output: {part} is there already.*choose another folder, or remove"):
        client.infer("points:1", data, output=output)
    assert client.infer("points:1", data, output=output, idempotency_key=f"once in {tmp_path}").id == job.id
    with pytest.raises(InvalidInput, match="idempotency_key"):
        client.infer("points:1", data, output=output, keep=["id"], idempotency_key=f"once in {tmp_path}")
    # What the pattern does not match is nobody's.
    client.infer("points:1", data, output=f"{tmp_path}/out/*.jsonl").wait(TIMEOUT_S)


def test_jobs_of_one_call_share_a_folder(client: Client, tmp_path: Path) -> None:
    options = {"output": f"{tmp_path}/*.parquet", "keep": ["id"]}
    jobs = client.submit_many([Infer("points:1", [{"x": 1.0, "id": str(number)}], options) for number in range(20)])  # type: ignore[arg-type]
    client.wait(jobs, TIMEOUT_S)
    assert [pq.read_table(job.parts()[0])["id"].to_pylist() for job in jobs] == [[str(row)] for row in range(20)]
    assert len({part for job in jobs for part in job.parts()}) == 20


def test_rows_with_the_call_are_refused_without_the_kept_column(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^keep: no column 'id'; the data has 'x'"):
        client.infer("points:1", [{"x": 1.0}], output=f"{tmp_path}/*.parquet", keep=["id"])


def test_the_command_line_tells_where_the_parts_are(run_command: CommandLine, data: Path, tmp_path: Path) -> None:
    arguments = ["--output", f"{tmp_path}/out/*.parquet", "--keep", "id", "--wait", "--json"]
    submitted = run_command("infer", "points:1", data, *arguments).fields
    job = UUID(str(submitted["id"]))
    part = f"{tmp_path}/out/{job}-00000.parquet"
    shown = run_command("jobs", "show", str(job))
    assert f"{tmp_path}/out/*.parquet" in shown.out
    assert part in shown.out
    assert run_command("jobs", "show", str(job), "--json").fields["parts"] == [part]
    done = run_command("results", str(job))
    assert (done.code, done.out) == (2, "")
    assert f"{job} writes its outputs to {tmp_path}/out/*.parquet" in done.err


def test_a_job_without_files_says_so(client: Client) -> None:
    job = client.infer("points:1", [{"x": 1.0}]).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match="writes no files"):
        job.parts()
