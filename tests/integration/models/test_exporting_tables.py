"""A version trained on a table with mixed columns, exported, and run with the program of the documentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.compose_file import ROOT
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S

ROWS = 400


def customers() -> pd.DataFrame:
    """A table of which most columns say something about ``left``."""
    random = np.random.default_rng(3)
    plan = random.choice(np.array(["basic", "größer", "team", None], object), size=ROWS)
    store = random.integers(1, 6, size=ROWS)
    age = np.where(random.random(ROWS) < 0.2, np.nan, random.normal(45, 12, ROWS).round(1))
    revenue = np.exp(random.normal(0, 2, ROWS)).round(4)
    joined = pd.Timestamp("2019-01-01") + pd.to_timedelta(random.integers(0, 1500, ROWS), unit="D")
    signs = np.where(plan == "team", 1, store == 2) - np.log(revenue) / 2 + np.where(np.isnan(age), 1, (age - 45) / 12)
    left = np.where(signs + random.normal(size=ROWS) > 0.5, "yes", "no")
    trial = random.random(ROWS) < 0.5
    return pd.DataFrame(
        {
            "plan": plan,
            "store": store,
            "age": age,
            "revenue": revenue,
            "joined": joined.strftime("%Y-%m-%d"),
            "trial": trial,
            "left": left,
        }
    )


def documented_program() -> str:
    """The example of the documentation."""
    page = (ROOT / "docs/how-to/import-and-export.md").read_text()
    section = page.partition("### ONNX from the columns of a table\n")[2]
    return section.partition("```python\n")[2].partition("```")[0]


def test_the_program_of_the_documentation_predicts_as_longshore_does(
    client: Client, cluster: Cluster, tmp_path: Path
) -> None:
    frame = customers()
    frame.to_csv(tmp_path / "customers.csv", index=False)
    run = CommandLine(cluster.environment)
    options = ("--family", "mlp", "--target", "left", "--epochs", "4", "--preprocess", "store=category")
    done = run("train", tmp_path / "customers.csv", "--model", "churn", *options, "--wait")
    assert done.code == 0, done.err
    target = tmp_path / "churn.onnx"
    exported = run("models", "export", "churn", "-o", target)
    assert exported.code == 0, exported.err

    # Other rows: new categories, and missing values in the columns that had some.
    frame.loc[:9, "plan"] = "enterprise"
    frame.loc[5:14, "store"] = 77
    frame.loc[20:29, "age"] = np.nan
    frame.to_csv(tmp_path / "customers.csv", index=False)
    script = documented_program() + '\nnp = __import__("numpy")\nnp.save("logits.npy", logits)\n'
    program = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert program.returncode == 0, program.stderr
    logits = np.load(tmp_path / "logits.npy").astype(np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    results = client.infer("churn", tmp_path / "customers.csv").wait(TIMEOUT_S).results().to_pandas()
    results = results.sort_values("row")
    signature = client.models.get("churn").manifest["signature"]
    assert isinstance(signature, dict)
    labels = signature["labels"]
    assert isinstance(labels, list)
    assert [labels[index] for index in logits.argmax(axis=1)] == results["label"].tolist()
    np.testing.assert_allclose(chances.max(axis=1), results["score"], atol=1e-5)

    with pytest.raises(InvalidInput, match=r"signature\.features: 'plan' has a transform, but programs preprocess"):
        client.models.import_(target, "again", signature=signature)
    missing = {"plan": {"missing": "nan"}, "age": {"missing": "nan"}}
    again = {**signature, "features": [{"name": name, **missing.get(name, {})} for name in frame.columns[:-1]]}
    client.models.import_(target, "again", signature=again)
    days = (pd.to_datetime(frame["joined"]) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    raw = frame.assign(joined=days, store=frame["store"].astype(str)).drop(columns="left")
    found = client.infer("again", raw, logits=True).wait(TIMEOUT_S).results().to_pandas().sort_values("row")
    np.testing.assert_allclose(np.stack(found["logits"].tolist()), logits, rtol=1e-4, atol=1e-5)
    assert found["label"].tolist() == results["label"].tolist()

    refused = run("models", "export", "churn", "-o", tmp_path / "churn.pt2")
    assert refused.code == 2
    assert "pt2: column 'plan' has categories" in refused.err
    assert not (tmp_path / "churn.pt2").exists()
