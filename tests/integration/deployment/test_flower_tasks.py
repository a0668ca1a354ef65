"""What Flower shows of real jobs: one line that people can read, and nothing of the user's data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from longshore.producers import Infer
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.flower_beside import Flower, running_flower
from tests.integration.generation.answers import import_model, prompts, usage_of
from tests.waiting import TIMEOUT_S, wait_until

#: Enough, one by one, for a while: the job is ended when it was seen.
ROWS = 400_000
#: Stands in the rows and in a label, and must not be seen anywhere.
NUMBER, LABEL = 987654.25, "a-private-label"


@pytest.fixture(scope="module")
def flower(cluster: Cluster) -> Iterator[Flower]:
    with running_flower(cluster) as flower:
        yield flower


def test_tasks_have_human_lines_and_no_data(cluster: Cluster, flower: Flower, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = pa.table({"x": [NUMBER, 1.0, 2.0, 3.0] * 10, "way": [LABEL, "b", "c", "d"] * 10})
    pq.write_table(rows, path)
    with cluster.client() as client:
        trained = client.train("private", "linear", path, "way", epochs=1).wait(120)
        client.infer("private", path, rows_per_shard=20).wait(120)
        one = client.infer("private", [{"x": NUMBER}]).wait(120)
        many = client.submit_many([Infer("private", [{"x": NUMBER}])] * 50)
        client.wait(many, 120)

    def ended() -> list[dict[str, str]]:
        tasks = json.loads(flower.read("/api/tasks") or "{}").values()
        return [task for task in tasks if task["state"] == "SUCCESS"]

    def lines() -> set[str]:
        return {task["args"] for task in ended()}

    expected = {f"{trained.id} train private", f"{one.id} private:1 rows 0-1"}
    wait_until(lambda: lines() >= expected, "Flower's news of the tasks")
    # However a job came to run, a task names it.
    for job in (trained, one, *many):
        wait_until(lambda job=job: [task for task in ended() if str(job.id) in task["result"]], "news of a job")  # type: ignore[misc]
    (result,) = [task["result"] for task in ended() if task["args"] == f"{one.id} private:1 rows 0-1"]
    assert result == f"1 shard for {cluster.settings.producer}, of {one.id}"
    identity = next(iter(json.loads(flower.read("/api/tasks"))))
    # The script that writes the states as words.
    assert '"SUCCESS": "succeeded"' in flower.read("/tasks")
    assert "longshore jobs show ${job}" in flower.read(f"/task/{identity}")
    for page in ("/", "/tasks", "/api/tasks", f"/task/{identity}", "/broker", "/metrics"):
        body = flower.read(page)
        assert body, page
        assert str(NUMBER) not in body, page
        assert LABEL not in body, page
        assert str(tmp_path) not in body, page


def test_a_task_shows_how_far_it_is_while_it_runs(cluster: Cluster, flower: Flower, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", ROWS)
    with cluster.client() as client:
        client.train("digits", "linear", path, "label", epochs=1).wait(120)
        job = client.infer("digits", path, batch_size=1, rows_per_shard=ROWS)

        def told() -> list[tuple[str, str]]:
            """The ids and results of tasks in progress, as the API has them."""
            tasks = json.loads(flower.read("/api/tasks") or "{}")
            return [
                (id_, task["result"])
                for id_, task in tasks.items()
                if task["state"] == "STARTED" and "rows/s" in str(task["result"])
            ]

        wait_until(told, "Flower's news of the progress")
        [(identity, text)] = told()
        rows, of, rate = re.fullmatch(r"([\d,]+) of ([\d,]+) rows, ([\d,.]+) rows/s", text).groups()  # type: ignore[union-attr]
        assert 0 < int(rows.replace(",", "")) <= ROWS
        assert int(of.replace(",", "")) == ROWS
        assert float(rate.replace(",", "")) > 0
        assert " rows/s" in flower.read(f"/task/{identity}")
        assert json.loads(flower.read(f"/api/task/info/{identity}"))["result"].endswith(" rows/s")
        job.cancel()
    wait_until(lambda: not told(), "Flower's news of the end")
    ended = json.loads(flower.read(f"/api/task/info/{identity}"))
    # To Celery, a message that was taken care of is a success, however its shards have ended.
    assert ended["state"] == "REVOKED"
    assert ended["result"] == f"1 shard (1 stopped) for {cluster.settings.producer}, of {job.id}"


def test_a_task_that_generates_shows_its_tokens(cluster: Cluster, flower: Flower, tmp_path: Path) -> None:
    texts, tokens = prompts(40), 8

    def results(state: str) -> list[str]:
        return [
            task["result"] for task in json.loads(flower.read("/api/tasks") or "{}").values() if task["state"] == state
        ]

    def told() -> list[str]:
        return [text for text in results("STARTED") if "left" in str(text)]

    with cluster.client() as client:
        folder = import_model(client, tmp_path)
        long = client.generate("story", prompts(20_000), max_tokens=16, rows_per_shard=20_000)
        wait_until(told, "Flower's news of the tokens")
        numbers = r"([\d,]+) of 20,000 rows, [\d,.]+ rows/s, ([\d,]+) s left, ([\d,]+) tokens/s in, ([\d,]+) out"
        shown = re.fullmatch(numbers, told()[0])
        assert shown is not None
        assert all(int(number.replace(",", "")) > 0 for number in shown.groups())
        long.cancel()
        # Until then, the other job would join its task.
        wait_until(lambda: [text for text in results("REVOKED") if str(long.id) in text], "the end of the task")
        job = client.generate("story", texts, max_tokens=tokens, min_tokens=tokens).wait(TIMEOUT_S)
        usage = usage_of(job)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = sum(len(tokenizer(text).input_ids) for text in texts)
    written = len(texts) * tokens
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (read, written)
    wait_until(lambda: [text for text in results("SUCCESS") if str(job.id) in text], "Flower's news of the end")
    (result,) = [text for text in results("SUCCESS") if str(job.id) in text]
    assert f"; {read - usage['cached_tokens']:,} tokens in, {written:,} out, in " in result
    seconds, rate = re.fullmatch(r".* in ([\d.]+) s: [\d,]+ tokens/s in, ([\d,]+) out", result).groups()  # type: ignore[union-attr]
    least, most = (written / max(float(seconds) + rounding, 0.001) for rounding in (0.06, -0.06))
    assert least - 1 <= float(rate.replace(",", "")) <= most + 1
