"""Calls that both type checkers reject, each on a line of its own that ends with `# rejected`. They are never run."""

from __future__ import annotations

from longshore.producers import Client
from longshore.producers.requests import CrossValidate, Evaluate, Infer, Train, Tune


def every_method(client: Client) -> None:
    client.train("m", "mlp", "rows.csv", "y", epoch=3)  # rejected
    client.train("m", "mlp", "rows.csv", "y", batch_size="8")  # rejected
    client.train("m", "mlp", "rows.csv", "y", optimizer="adamm")  # rejected
    client.train("m", "mlp", "rows.csv", "y", loss="cross-entropy")  # rejected
    client.train("m", "mlp", "rows.csv", "y", device="cuda")  # rejected
    client.train("m", "mlp", "rows.csv", "y", metrics=["acuracy"])  # rejected
    client.train("m", "mlp", "rows.csv", "y", features="x")  # rejected
    client.train("m", "mlp", "rows.csv", "y", augment={"flip": 0.5})  # rejected
    client.train("m", "mlp", "rows.csv", "y", tokenizer={"kind": "words", "size": 10})  # rejected
    client.train("m", "mlp", "rows.csv", "y", base_digest="sha256:0")  # rejected
    client.train("m", "mlp", "rows.csv", "y", rows_per_shard=10)  # rejected
    client.tune("m", "mlp", "rows.csv", "y", {"epochs": [1]}, sampler="bayes")  # rejected
    client.tune("m", "mlp", "rows.csv", "y", {"epochs": [1]}, devices=2)  # rejected
    client.tune("m", "mlp", "rows.csv", "y", {"epochs": 3})  # rejected
    client.cross_validate("m", "mlp", "rows.csv", "y", folds="5")  # rejected
    client.cross_validate("m", "mlp", "rows.csv", "y", validation=0.1)  # rejected
    client.infer("m", "rows.csv", epochs=3)  # rejected
    client.infer("m", "rows.csv", batch_size="large")  # rejected
    client.infer("m", "rows.csv", keep="x")  # rejected
    client.infer("m", "rows.csv", format="xlsx")  # rejected
    client.generate("m", ["Hi"], max_token=3)  # rejected
    client.generate("m", ["Hi"], schema=Client)  # rejected
    client.generate("m", ["Hi"], json_schema={})  # rejected
    client.generate("m", ["Hi"], choices="a")  # rejected
    client.evaluate("m", "rows.csv", "y", worst=0.5)  # rejected
    client.evaluate("m", "rows.csv", "y", top_k=3)  # rejected


def chain(client: Client) -> None:
    job = client.train("m", "mlp", "rows.csv", "y")
    job.then.infer("rows.csv", foo=1)  # rejected
    job.then.generate(["Hi"], epochs=1)  # rejected
    job.then.evaluate("rows.csv", epochs=3)  # rejected
    job.then.promote("production", format="csv")  # rejected


def many() -> None:
    Train("m", "mlp", "rows.csv", "y", {"epoch": 3})  # rejected
    Train("m", "mlp", "rows.csv", "y", epoch=3)  # rejected
    Tune("m", "mlp", "rows.csv", "y", {"epochs": [1]}, trials="2")  # rejected
    CrossValidate("m", "mlp", "rows.csv", "y", alias="best")  # rejected
    Infer("m", "rows.csv", {"top": 2})  # rejected
    Evaluate("m", "rows.csv", "y", bootstrap="1000")  # rejected
