"""Classifiers and regressors that skl2onnx makes of scikit-learn's, against scikit-learn on the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from longshore.shared.errors import InvalidInput
from longshore.workers.runtimes.base import Runtime
from tests.computing import Output, compute
from tests.differential.cases import seeds
from tests.differential.imported.running import imported

WIDTH = 4
ROWS = 60
Make = Callable[[int], Any]

#: With probabilities. Trees and tables are exact; sums over many terms are rounded in 32 bits.
PROBABLE: dict[str, Make] = {
    "logistic": lambda seed: LogisticRegression(),
    "forest": lambda seed: RandomForestClassifier(5, random_state=seed),
    "extra trees": lambda seed: ExtraTreesClassifier(5, random_state=seed),
    "boosting": lambda seed: GradientBoostingClassifier(n_estimators=5, random_state=seed),
    "ada boost": lambda seed: AdaBoostClassifier(n_estimators=5, random_state=seed),
    "tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "svc": lambda seed: SVC(probability=True, random_state=seed),
    "neighbours": lambda seed: KNeighborsClassifier(3),
    "bayes": lambda seed: GaussianNB(),
    "discriminant": lambda seed: LinearDiscriminantAnalysis(),
    "mlp": lambda seed: MLPClassifier(hidden_layer_sizes=(8,), max_iter=20, random_state=seed),
    "calibrated": lambda seed: CalibratedClassifierCV(LinearSVC(random_state=seed), cv=2),
    "pipeline": lambda seed: make_pipeline(StandardScaler(), LogisticRegression()),
}
#: With scores that are no probabilities.
SCORED: dict[str, Make] = {
    "svc": lambda seed: SVC(random_state=seed),
    "ridge": lambda seed: RidgeClassifier(),
    "hinge": lambda seed: SGDClassifier(random_state=seed),
}
#: The last of these says which of the classes it is.
LABELS: dict[str, Sequence[str] | Sequence[int]] = {
    "texts": ["ja", "nein", "vielleicht"],
    "integers": [-1, 0, 7],
    "two texts": ["b", "a"],
    "two integers": [0, 1],
}


def rows_and_labels(seed: int, labels: Sequence[str] | Sequence[int]) -> tuple[npt.NDArray[np.float32], Any]:
    """Numbers that 32 bits hold exactly, also the middle between two of them, and a label for each row."""
    random = np.random.default_rng(seed)
    rows = (random.integers(-200, 200, (ROWS, WIDTH)) / 64).astype(np.float32)
    score = rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(0, 0.3, ROWS)
    codes = np.digitize(score, np.quantile(score, np.linspace(0, 1, len(labels) + 1)[1:-1]))
    return rows, np.array(labels)[codes]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Training is short, so that some do not converge; and the converter uses what its packages have deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def converted(model: BaseEstimator, rows: npt.NDArray[np.float32], **options: object) -> onnx.ModelProto:
    program: onnx.ModelProto = to_onnx(model, rows[:1], options=options or None)
    return program


def own_labels(program: onnx.ModelProto, feed: dict[str, npt.NDArray[Any]]) -> list[str]:
    """The labels that the program itself puts out."""
    session = onnxruntime.InferenceSession(program.SerializeToString(), providers=["CPUExecutionProvider"])
    return [str(label) for label in np.ravel(session.run([program.graph.output[0].name], feed)[0])]


def batch_of(rows: npt.NDArray[np.float32]) -> pa.RecordBatch:
    return pa.record_batch({f"f{place}": rows[:, place] for place in range(rows.shape[1])})


def signature_of(width: int = WIDTH) -> dict[str, object]:
    features = [{"name": f"f{place}"} for place in range(width)]
    return {"features": features, "task": "classification", "target": "y"}


def outputs_of(runtime: Runtime, batch: pa.RecordBatch, top_k: int | None = None, logits: bool = False) -> list[Output]:
    outputs, errors = compute(runtime, batch, top_k=top_k, logits=logits)
    assert errors == {}
    return [row for row in outputs if row is not None]


def scores_of(outputs: Sequence[Output]) -> npt.NDArray[np.float64]:
    return np.array([output["score"] for output in outputs], float)


def check_probabilities(model: Any, rows: object, outputs: Sequence[Output], tolerance: float) -> None:
    """Every score is the probability of its label, and no label is missing."""
    places = {str(label): place for place, label in enumerate(model.classes_)}
    found = np.full((len(outputs), len(places)), np.nan)
    for row, output in enumerate(outputs):
        for pair in output["top_k"]:  # type: ignore[attr-defined]
            found[row, places[str(pair["label"])]] = pair["score"]
        assert output["score"] == found[row, places[str(output["label"])]]
    np.testing.assert_allclose(found, model.predict_proba(rows), atol=tolerance)


#: skl2onnx doubles the logits of a discriminant of two classes, so that its program gives other probabilities.
SAME_IN_PROGRAM = [
    (name, labels) for name in PROBABLE for labels in LABELS if name != "discriminant" or len(LABELS[labels]) > 2
]


@pytest.mark.parametrize(("name", "labels"), SAME_IN_PROGRAM)
@pytest.mark.parametrize("zipmap", [True, False])
def test_scores_are_the_probabilities(tmp_path: Path, name: str, zipmap: bool, labels: str) -> None:
    for seed in seeds(1):
        rows, targets = rows_and_labels(seed, LABELS[labels])
        model: Any = PROBABLE[name](seed).fit(rows, targets)
        program = converted(model, rows, zipmap=zipmap)
        runtime = imported(tmp_path, program, signature_of())
        signature = runtime.signature
        assert signature.output_kind == "probabilities"
        assert signature.labels == tuple(model.classes_.tolist())
        outputs = outputs_of(runtime, batch_of(rows), top_k=3)
        check_probabilities(model, rows, outputs, 1e-5)
        found = [str(output["label"]) for output in outputs]
        assert found == own_labels(program, {"X": rows})
        # Of two labels that are equally probable, 32 and 64 bits can choose different ones.
        chances = np.sort(model.predict_proba(rows), axis=1)
        clear = chances[:, -1] - chances[:, -2] > 1e-5
        assert (np.array(found) == model.predict(rows).astype(str))[clear].all()


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("name", SCORED)
def test_labels_are_right_without_probabilities(tmp_path: Path, name: str, zipmap: bool, labels: str) -> None:
    for seed in seeds(1):
        rows, targets = rows_and_labels(seed, LABELS[labels])
        model: Any = SCORED[name](seed).fit(rows, targets)
        runtime = imported(tmp_path, converted(model, rows, zipmap=zipmap), signature_of())
        assert runtime.signature.output_kind == "scores"
        outputs = outputs_of(runtime, batch_of(rows), top_k=3)
        assert [str(output["label"]) for output in outputs] == [str(label) for label in model.predict(rows)]
        decision = model.decision_function(rows)
        if decision.ndim == 1:
            decision = np.stack([-decision, decision], axis=1)
        best = decision.max(axis=1)
        if not (name == "svc" and decision.shape[1] > 2):  # which are votes in scikit-learn, in another scale
            np.testing.assert_allclose(scores_of(outputs), best, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("labels", ["texts", "two integers"])
def test_a_linear_svc_without_options(tmp_path: Path, labels: str) -> None:
    rows, targets = rows_and_labels(0, LABELS[labels])
    model = LinearSVC(random_state=0).fit(rows, targets)
    runtime = imported(tmp_path, converted(model, rows), signature_of())
    outputs = outputs_of(runtime, batch_of(rows))
    assert [str(output["label"]) for output in outputs] == [str(label) for label in model.predict(rows)]
    assert runtime.signature.output_kind == "scores"


def test_labels_in_another_order_are_refused_and_names_are_accepted(tmp_path: Path) -> None:
    rows, targets = rows_and_labels(0, LABELS["integers"])
    program = converted(LogisticRegression().fit(rows, targets), rows)
    with pytest.raises(InvalidInput, match=r"signature\.labels: '7' is at position 0, but at position 2 .*: -1, 0, 7"):
        imported(tmp_path, program, {**signature_of(), "labels": [7, 0, -1]})
    with pytest.raises(InvalidInput, match=r"must have the shape \(rows, 2\)|none of them fits"):
        imported(tmp_path, program, {**signature_of(), "labels": ["low", "high"]})
    runtime = imported(tmp_path, program, {**signature_of(), "labels": ["low", "middle", "high"]})
    names = {"-1": "low", "0": "middle", "7": "high"}
    found = [output["label"] for output in outputs_of(runtime, batch_of(rows))]
    assert found == [names[label] for label in own_labels(program, {"X": rows})]


def test_what_the_user_says_of_the_output_counts(tmp_path: Path) -> None:
    rows, targets = rows_and_labels(0, LABELS["texts"])
    program = converted(RidgeClassifier().fit(rows, targets), rows, zipmap=False)
    runtime = imported(tmp_path, program, signature_of(), output_kind="logits")
    outputs = outputs_of(runtime, batch_of(rows), logits=True)
    logits = np.array([output["logits"] for output in outputs])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores_of(outputs), softmax.max(axis=1), rtol=1e-5)
    with pytest.raises(InvalidInput, match="its signature says that its outputs are probabilities, but"):
        imported(tmp_path, program, signature_of(), output_kind="probabilities")


def table(seed: int) -> dict[str, npt.NDArray[Any]]:
    """Columns of several types."""
    random = np.random.default_rng(seed)
    return {
        "colour": random.choice(["red", "green", "blau"], ROWS).astype(object),
        "size": random.choice(["S", "M"], ROWS).astype(object),
        "age": random.integers(0, 99, ROWS),
        "height": (random.integers(100, 200, ROWS) / 64).astype(np.float32),
        "weight": random.normal(70, 9, ROWS),
    }


TYPES = {
    "colour": StringTensorType([None, 1]),
    "size": StringTensorType([None, 1]),
    "age": Int64TensorType([None, 1]),
    "height": FloatTensorType([None, 1]),
    "weight": DoubleTensorType([None, 1]),
}


@pytest.mark.parametrize("unknown", ["ignore", "error"])
@pytest.mark.parametrize("zipmap", [True, False])
def test_a_pipeline_with_an_input_for_each_column(tmp_path: Path, unknown: str, zipmap: bool) -> None:
    import pandas as pd

    for seed in seeds(2):
        names = ["colour", "size", "age", "height"]
        columns = {name: values for name, values in table(seed).items() if name in names}
        frame = pd.DataFrame(columns)
        targets = np.where(frame["age"] > 50, frame["colour"], "none")
        model = make_pipeline(
            ColumnTransformer(
                [
                    ("texts", OneHotEncoder(handle_unknown=unknown), ["colour", "size"]),
                    ("numbers", StandardScaler(), ["age", "height"]),
                ]
            ),
            LogisticRegression(),
        ).fit(frame, targets)
        program = to_onnx(model, initial_types=[(name, TYPES[name]) for name in names], options={"zipmap": zipmap})
        signature = {**signature_of(), "features": [{"name": name} for name in reversed(names)]}
        runtime = imported(tmp_path, program, signature)
        kinds = {feature.name: (feature.kind, feature.dtype) for feature in runtime.signature.features}
        assert kinds["colour"] == ("text", "string")
        assert kinds["age"] == ("number", "int64")
        outputs = outputs_of(
            runtime, pa.record_batch({name: pa.array(list(each)) for name, each in columns.items()}), top_k=4
        )
        check_probabilities(model, frame, outputs, 1e-5)
        assert [output["label"] for output in outputs] == model.predict(frame).tolist()


def test_missing_values_are_put_in_if_the_signature_says_so(tmp_path: Path) -> None:
    rows, targets = rows_and_labels(0, LABELS["texts"])
    rows[np.random.default_rng(1).random(rows.shape) < 0.3] = np.nan
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(rows, targets)
    program = to_onnx(model, initial_types=[("X", FloatTensorType([None, WIDTH]))])
    columns = {
        "f0": pa.array(rows[:, 0]),
        "f1": pa.array(rows[:, 1], from_pandas=True),
        "f2": pa.array(["" if np.isnan(value) else repr(float(value)) for value in rows[:, 2]]),
        "f3": pa.array(rows[:, 3], from_pandas=True),
    }
    names = [{"name": name, "missing": "nan"} for name in columns]
    runtime = imported(tmp_path, program, {**signature_of(), "features": names})
    check_probabilities(model, rows, outputs_of(runtime, pa.record_batch(columns), top_k=3), 1e-5)

    names[3] = {"name": "f3"}  # the others may have missing values
    runtime = imported(tmp_path, program, {**signature_of(), "features": names})
    errors = runtime.prepare(pa.record_batch(columns)).errors
    assert errors == dict.fromkeys(np.flatnonzero(np.isnan(rows[:, 3])).tolist(), "column 'f3': null")


def test_an_input_of_integers_has_no_missing_values(tmp_path: Path) -> None:
    model = LogisticRegression().fit([[0], [1]], [0, 1])
    program = to_onnx(model, initial_types=[("n", Int64TensorType([None, 1]))])
    with pytest.raises(InvalidInput, match=r"'n': the input 'n' int64 \(\?, 1\) cannot have missing values"):
        imported(tmp_path, program, {**signature_of(), "features": [{"name": "n", "missing": "nan"}]})


def test_an_unknown_category_is_zeros_or_an_error_of_its_row(tmp_path: Path) -> None:
    texts = np.array([["red", "S"], ["green", "M"], ["red", "M"], ["green", "S"]] * 5, object)
    targets = np.array([0, 1, 1, 0] * 5)
    batch = pa.record_batch({"colour": ["red", "pink", None], "size": ["M", "S", "S"]})
    for unknown in ("ignore", "error"):
        model = make_pipeline(OneHotEncoder(handle_unknown=unknown), LogisticRegression()).fit(texts, targets)
        program = to_onnx(model, initial_types=[("texts", StringTensorType([None, 2]))])
        signature = {**signature_of(), "features": [{"name": "colour"}, {"name": "size"}]}
        outputs, errors = compute(imported(tmp_path, program, signature), batch, top_k=2)
        assert errors.pop(2) == "column 'colour': null"
        if unknown == "ignore":
            assert errors == {}
            check_probabilities(
                model, np.array([["red", "M"], ["pink", "S"]], object), [row for row in outputs if row], 1e-5
            )
        else:
            assert "the model fails on this row" in errors.pop(1)
            assert errors == {}
            assert outputs[0] is not None
            assert outputs[0]["label"] == 1


@pytest.mark.parametrize("kind", [FloatTensorType, DoubleTensorType, Int64TensorType])
def test_regressors(tmp_path: Path, kind: type) -> None:
    makes: dict[str, Make] = {
        "linear": lambda seed: LinearRegression(),
        "forest": lambda seed: RandomForestRegressor(5, random_state=seed),
        "boosting": lambda seed: GradientBoostingRegressor(n_estimators=5, random_state=seed),
        "svr": lambda seed: SVR(),
        "mlp": lambda seed: MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=seed),
    }
    for seed in seeds(1):
        rows, _ = rows_and_labels(seed, LABELS["integers"])
        rows = np.round(rows * 4) if kind is Int64TensorType else rows
        values = rows @ np.array([1, -2, 0.5, 3]) + 10
        for name, make in makes.items():
            model: Any = make(seed).fit(rows, values)
            if kind is DoubleTensorType and name in ("forest", "boosting", "svr"):
                continue  # skl2onnx writes programs that ONNX Runtime refuses
            program = to_onnx(model, initial_types=[("X", kind([None, WIDTH]))])
            runtime = imported(tmp_path, program, {**signature_of(), "task": "regression"})
            outputs = outputs_of(runtime, batch_of(rows))
            found = np.array([output["value"] for output in outputs], float)
            np.testing.assert_allclose(found, model.predict(rows), rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_regressor_with_several_values_and_ordinal_texts(tmp_path: Path) -> None:
    columns = table(3)
    texts = np.stack([columns["colour"], columns["size"]], axis=1)
    values = np.stack([columns["weight"], columns["age"] * 0.5], axis=1)
    model = make_pipeline(OrdinalEncoder(), LinearRegression()).fit(texts, values)
    program = to_onnx(model, initial_types=[("texts", StringTensorType([None, 2]))])
    signature = {
        "features": [{"name": "colour", "kind": "text"}, {"name": "size", "kind": "text"}],
        "task": "regression",
        "target": "y",
        "target_width": 2,
    }
    runtime = imported(tmp_path, program, signature)
    batch = pa.record_batch({name: pa.array(list(columns[name])) for name in ("colour", "size")})
    found = np.array([output["value"] for output in outputs_of(runtime, batch)])
    np.testing.assert_allclose(found, model.predict(texts), rtol=1e-4)


def test_a_pipeline_over_the_columns_of_a_frame(tmp_path: Path) -> None:
    """As the guide has it: the converter makes an input of each column."""
    import pandas as pd

    frame = pd.DataFrame({name: table(5)[name] for name in ("colour", "height", "weight")})
    targets = np.where(frame["height"] > 2.3, "tall", "short")
    transformer = ColumnTransformer([("texts", OneHotEncoder(), ["colour"]), ("numbers", StandardScaler(), ["weight"])])
    model = make_pipeline(transformer, RandomForestClassifier(5, random_state=0)).fit(frame, targets)
    frame = frame[["colour", "weight"]]
    program = to_onnx(model, pd.DataFrame(frame[:1]))
    runtime = imported(tmp_path, program, {**signature_of(), "features": [{"name": name} for name in frame.columns]})
    assert [feature.dtype for feature in runtime.signature.features] == ["string", "float64"]
    outputs = outputs_of(runtime, pa.RecordBatch.from_pandas(frame), top_k=2)
    assert runtime.signature.labels == ("short", "tall")
    assert len(outputs) == ROWS
