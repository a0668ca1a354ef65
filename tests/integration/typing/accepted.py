"""Calls that both type checkers accept. They are never run."""

from __future__ import annotations

from pydantic import BaseModel

from longshore.producers import Client, Job
from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Train, Tune


class Answer(BaseModel):
    text: str


def every_method(client: Client) -> None:
    rows = [{"x": 1.0, "y": "a"}]
    client.train("m", "mlp", "rows.csv", "y")
    client.train("m", "mlp", rows, "y", epochs=3, batch_size=8, optimizer="adamw", learning_rate=1, seed=1)
    client.train("m", "mlp", {"x": [1.0], "y": [2]}, "y", optimizer="AdamW", betas=(0.9, 0.99), loss="HuberLoss")
    client.train("m", "cnn", "images/", "label", augment={"horizontal_flip": 0.5, "random_crop": {"padding": 2}})
    client.train("m", "mlp", rows, "y", config={"hidden": [64, 64], "dropout": 0.1}, class_weights={"spam": 5})
    client.train("m", "mlp", rows, "y", class_weights="balanced", metrics=["accuracy", "f1"], features=["x"])
    client.train("m", "mlp", rows, "y", validation="held.csv", test=0.2, timeout=60, device="gpu", priority=9)
    client.train("m", "transformer", rows, "y", tokenizer={"kind": "bpe", "length": 64}, checkpoint_seconds=None)
    client.train("m", "mlp", rows, "y", tokenizer="news:1", promote_if="val_accuracy >= production", alias="best")
    space: dict[str, list[float]] = {"learning_rate": [0.1, 0.01]}
    client.tune("m", "mlp", rows, "y", space, trials=4, sampler="grid", metric="val_accuracy", epochs=2)
    client.tune("m", "mlp", rows, "y", {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}, "epochs": [1, 2]})
    client.cross_validate("m", "mlp", rows, "y", folds=3, epochs=3)
    client.infer("m", rows, batch_size="auto", top_k=3, keep=["x"], output="out/*.parquet", rows_per_shard=10)
    client.infer("m@production", "rows.npy", format="npy", max_row_errors=0.5, precision="bf16")
    client.generate("m", ["Hi"], max_tokens=8, temperature=0.5, stop="\n", n=2, keep=["id"], rows_per_shard=10)
    client.generate("m", [{"role": "user", "content": "Hi"}], schema=Answer, engine="transformers")
    client.generate("m", [[{"role": "user", "content": "Hi"}]], schema={"type": "object", "required": ["a"]})
    client.generate("m", {"prompt": ["Hi"], "seed": [1]}, choices=("a", "b"), tools=[{"type": "function"}])
    client.evaluate("m:1", rows, "y", bootstrap=0, worst=5, compile=True)


def chain(client: Client) -> None:
    job = client.train("m", "mlp", "rows.csv", "y")
    job.then.evaluate("held.csv", bootstrap=10).then.promote("production", if_="accuracy > 0.9", priority=1)
    job.then.generate(["Hi"], max_tokens=3).wait()
    job.then.infer("rows.csv", output="out/*.jsonl", results=True).wait()


def results(job: Job) -> None:
    results = job.results()
    columns: list[str] = results.to_pandas().columns.tolist() + results.to_polars().columns
    rows: list[int] = [row.row for row in results] + [row.row for row in job.stream() if row.key and row.key["id"]]
    columns.append(f"{rows} {results.column_names[0]} {len(results)}")


def many(client: Client) -> None:
    client.submit_many(
        [
            Train("m", "mlp", "rows.csv", "y", {"epochs": 3}),
            Train("m", "mlp", "rows.csv", "y", epochs=3),
            Tune("m", "mlp", "rows.csv", "y", {"epochs": [1, 2]}, trials=2),
            CrossValidate("m", "mlp", "rows.csv", "y", folds=2),
            Infer("m", [{"x": 1.0}], {"top_k": 2}),
            Generate("m", "prompts.csv", {"max_tokens": 2}),
            Generate("m", ["Hi"], max_tokens=2),
            Evaluate("m", "rows.csv", "y", worst=3),
        ]
    )
