"""Programs as people have them, from the import by the command line to the results and an evaluation."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from longshore.producers import Client, Infer
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.unit.shared.model_formats.onnx.files import IR_VERSION, OPSET
from tests.waiting import TIMEOUT_S

ROWS = 3000


@pytest.fixture(scope="module")
def longshore(cluster: Cluster) -> CommandLine:
    return CommandLine(cluster.environment)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    colours = random.choice(["red", "green", "blau"], ROWS).astype(object)
    ages = random.integers(0, 99, ROWS)
    return pd.DataFrame({"colour": colours, "age": ages, "kind": np.where(ages > 50, colours, "young")})


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_pipeline_of_scikit_learn(
    client: Client, longshore: CommandLine, frame: pd.DataFrame, tmp_path: Path
) -> None:
    transformer = ColumnTransformer([("texts", OneHotEncoder(), ["colour"]), ("numbers", StandardScaler(), ["age"])])
    model = make_pipeline(transformer, SVC(probability=True, random_state=0)).fit(frame[:200], frame["kind"][:200])
    types = [("colour", StringTensorType([None, 1])), ("age", Int64TensorType([None, 1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tmp_path / "m.onnx").write_bytes(to_onnx(model, initial_types=types).SerializeToString())
    signature = {"features": [{"name": "age"}, {"name": "colour"}], "task": "classification", "target": "kind"}
    (tmp_path / "signature.json").write_text(json.dumps(signature))
    arguments = ("models", "import", tmp_path / "m.onnx", "--name", "kinds", "--signature", tmp_path / "signature.json")
    assert longshore(*arguments).out == "kinds:1\n"
    shown = longshore("models", "show", "kinds").out
    assert "age int64, colour string" in shown
    assert "probabilities, from 'output_probability'; label from 'output_label'" in shown
    assert "blau, green, red, young" in shown

    labels, scores = model.predict(frame), model.predict_proba(frame)
    expected = scores[np.arange(ROWS), np.searchsorted(model.classes_, labels)]
    assert (scores.argmax(axis=1) != np.searchsorted(model.classes_, labels)).any()
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet", index=False)
    for data in (tmp_path / "rows.csv", tmp_path / "rows.parquet", frame[["colour", "age"]]):
        found = client.infer("kinds", data).wait(TIMEOUT_S).results()
        assert found["label"].to_pylist() == labels.tolist()
        np.testing.assert_allclose(found["score"].to_numpy(), expected, atol=1e-5)

    measured = client.evaluate("kinds", tmp_path / "rows.csv").wait(TIMEOUT_S).evaluation()
    assert measured.metrics["accuracy"] == pytest.approx((labels == frame["kind"]).mean())
    places = np.searchsorted(model.classes_, frame["kind"])
    log_loss = -np.log(scores[np.arange(ROWS), places]).mean()
    assert measured.metrics["log_loss"] == pytest.approx(log_loss, rel=1e-4)


def test_a_bad_value_of_a_typed_column_fails_its_row(client: Client, tmp_path: Path) -> None:
    model = LogisticRegression().fit([[0], [1], [8], [9]], ["a", "a", "b", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = to_onnx(model, initial_types=[("n", Int64TensorType([None, 1]))])
    (tmp_path / "m.onnx").write_bytes(program.SerializeToString())
    signature = {"features": [{"name": "n"}], "task": "classification", "target": "y"}
    client.models.import_(tmp_path / "m.onnx", "whole", signature=signature)
    (tmp_path / "rows.csv").write_text("n\n1\n9\n1.5\nx\n99999999999999999999\n")
    job = client.infer("whole", tmp_path / "rows.csv", max_row_errors=3).wait(TIMEOUT_S)
    assert job.results()["label"].to_pylist() == ["a", "b"]
    reasons = [error.message for error in job.errors()]
    assert reasons == [
        "column 'n': 1.5 is not a whole number",
        "column 'n': 'x' is not a number",
        "column 'n': 99999999999999999999 is out of the range of int64",
    ]
    small = client.submit_many([Infer("whole", {"n": [number]}) for number in (0, 9)])
    assert [job.wait(TIMEOUT_S).results()["label"].to_pylist() for job in small] == [["a"], ["b"]]


def test_a_program_with_tensors_in_another_file(client: Client, longshore: CommandLine, tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 40])],
        initializer=[numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    path = tmp_path / "net.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    signature = {"features": [{"name": "x", "width": 3}], "task": "embedding", "target": "e"}
    client.models.import_(path, "beside", signature=signature)
    rows = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    found = client.infer("beside", {"x": rows}).wait(TIMEOUT_S).results()
    np.testing.assert_allclose(np.array(found["embedding"].to_pylist()), rows @ weights, rtol=1e-4, atol=1e-5)
    client.models.export("beside", tmp_path / "exported")
    assert longshore("models", "import", tmp_path / "exported", "--name", "again").out == "again:1\n"
    assert client.models.get("again").digest == client.models.get("beside").digest
