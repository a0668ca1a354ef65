"""ONNX programs with inputs of every type, and with several inputs and outputs, against ONNX Runtime row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.schemas import check_schema
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.jobs import FileInput
from longshore.workers.runtimes.base import Runtime
from tests.computing import compute
from tests.differential.cases import seeds
from tests.differential.imported.running import imported
from tests.unit.shared.model_formats.onnx.files import IR_VERSION, OPSET

ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int16": TensorProto.INT16,
    "int8": TensorProto.INT8,
    "uint64": TensorProto.UINT64,
    "uint32": TensorProto.UINT32,
    "uint16": TensorProto.UINT16,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
#: The remainder of a whole number tells whether it is exact; float32 holds remainders below it.
PRIME = 999_983
ROWS = 9
Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Input:
    """A random input of a program."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        return int(np.prod(self.shape, initial=1))

    def values(self, random: np.random.Generator) -> Array:
        """Values of the type, up to its limits: ``(ROWS, *shape)``."""
        size = (ROWS, *self.shape)
        dtype = np.dtype(self.dtype)
        if dtype.kind == "b":
            return random.integers(0, 2, size).astype(dtype)
        if dtype.kind == "f":
            base = 1.7e9 if self.dtype == "float64" else 0.0
            return (base + random.normal(0, 3, size)).astype(dtype)
        limits = np.iinfo(dtype)
        values = random.integers(limits.min, limits.max, size, dtype, endpoint=True)
        extremes = np.array([limits.min, limits.max], dtype)
        return np.where(random.random(size) < 0.3, random.choice(extremes), values)

    def nodes(self) -> Sequence[onnx.NodeProto]:
        """``<name>_row``, float32: numbers that show whether the values are exact."""
        name, node = self.name, helper.make_node
        flat = node("Flatten", [f"{name}_f32"], [f"{name}_row"], axis=1)
        if self.dtype == "float64":
            shifted = node("Sub", [name, "base"], [f"{name}_shifted"])
            return [shifted, node("Cast", [f"{name}_shifted"], [f"{name}_f32"], to=TensorProto.FLOAT), flat]
        if self.dtype in ("int64", "uint64", "int32", "uint32"):
            signed = self.dtype != "uint64"
            long = node("Cast", [name], [f"{name}_long"], to=TensorProto.INT64 if signed else TensorProto.UINT64)
            rest = node("Mod", [f"{name}_long", "prime" if signed else "unsigned_prime"], [f"{name}_rest"])
            return [long, rest, node("Cast", [f"{name}_rest"], [f"{name}_f32"], to=TensorProto.FLOAT), flat]
        return [node("Cast", [name], [f"{name}_f32"], to=TensorProto.FLOAT), flat]


def model_of(inputs: Sequence[Input]) -> onnx.ModelProto:
    """Puts out the values of all inputs."""
    nodes = [node for each in inputs for node in each.nodes()]
    nodes.append(helper.make_node("Concat", [f"{each.name}_row" for each in inputs], ["output"], axis=1))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(each.name, ELEMENTS[each.dtype], ["n", *each.shape]) for each in inputs],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", "k"])],
        initializer=[
            numpy_helper.from_array(np.array(1.7e9), "base"),
            numpy_helper.from_array(np.array(PRIME), "prime"),
            numpy_helper.from_array(np.array(PRIME, np.uint64), "unsigned_prime"),
        ],
    )
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])


def row_by_row(model: onnx.ModelProto, feeds: dict[str, Array], output: str = "output") -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = len(next(iter(feeds.values())))
    outputs = [
        session.run([output], {name: values[row : row + 1] for name, values in feeds.items()})[0] for row in range(rows)
    ]
    return np.concatenate(outputs)


def computed(runtime: Runtime, batch: pa.RecordBatch, name: str = "embedding") -> npt.NDArray[np.float32]:
    outputs, errors = compute(runtime, batch)
    assert errors == {}
    return np.array([row[name] for row in outputs if row is not None], np.float32)


def columns_of(each: Input, values: Array, split: bool) -> dict[str, pa.Array]:
    """The values of an input as a column for each number, or as one of lists."""
    flat = values.reshape(len(values), -1)
    if split:
        names = [each.name] if each.width == 1 else [f"{each.name}{place}" for place in range(each.width)]
        return {name: pa.array(flat[:, place]) for place, name in enumerate(names)}
    return {each.name: pa.array(list(flat))}


@pytest.mark.parametrize("seed", seeds(12))
def test_every_input_gets_its_values_exactly(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 4))
    inputs = [
        Input(f"in{number}", str(random.choice(list(ELEMENTS))), [(), (1,), (3,), (2, 2)][random.integers(4)])
        for number in range(count)
    ]
    feeds = {each.name: each.values(random) for each in inputs}
    columns: dict[str, pa.Array] = {}
    features: list[dict[str, object]] = []
    for each in inputs:
        split = each.width == 1 or bool(random.random() < 0.5)
        own = columns_of(each, feeds[each.name], split)
        width = {} if split else {"width": each.width}
        features += [{"name": name, **width, **({"input": each.name} if count > 1 else {})} for name in own]
        columns |= own
    random.shuffle(features)
    if any(each.width > 1 for each in inputs):  # the order within an input is that of the signature
        features.sort(key=lambda feature: str(feature["name"]))
    model = model_of(inputs)
    runtime = imported(tmp_path, model, {"features": features, "task": "embedding", "target": "e"})
    dtypes = {feature.input or inputs[0].name: feature.dtype or "float32" for feature in runtime.signature.features}
    assert dtypes == {each.name: each.dtype for each in inputs}
    expected = row_by_row(model, feeds)
    np.testing.assert_array_equal(computed(runtime, pa.record_batch(columns)), expected)


def sample(dtype: str) -> tuple[onnx.ModelProto, dict[str, object]]:
    """A program with one number as its input."""
    signature: dict[str, object] = {"features": [{"name": "x"}], "task": "embedding", "target": "e"}
    return model_of([Input("x", dtype, (1,))]), signature


@pytest.mark.parametrize(
    ("dtype", "column", "reasons"),
    [
        ("int64", pa.array([1.0, 1.5, float("nan"), 2.0**63]), {1: "1.5 is not a whole", 2: "nan is not", 3: "out of"}),
        ("int64", pa.array([1.0, 2.0**53]), {1: "has more digits than a 64-bit float holds"}),
        ("int64", pa.array(["7", "x", "9223372036854775808"]), {1: "'x' is not a number", 2: "out of the range"}),
        ("int32", pa.array([2**31 - 1, 2**31, None]), {1: "2147483648 is out of the range of int32", 2: "null"}),
        ("uint8", pa.array([255, -1, 256]), {1: "-1 is out of the range", 2: "256 is out of the range"}),
        ("bool", pa.array([0.0, 1.0, 0.5]), {2: "0.5 is not 0, 1, true or false"}),
        ("float16", pa.array([65504.0, 65600.0]), {1: "65600.0 is not a finite float16"}),
        ("float64", pa.array([1e300, float("inf")]), {1: "inf is not a finite float64"}),
    ],
)
def test_a_value_that_an_input_cannot_hold_is_an_error_of_its_row(
    tmp_path: Path, dtype: str, column: pa.Array, reasons: dict[int, str]
) -> None:
    model, signature = sample(dtype)
    runtime = imported(tmp_path, model, signature)
    prepared = runtime.prepare(pa.record_batch({"x": column}))
    assert prepared.errors.keys() == reasons.keys()
    for row, reason in reasons.items():
        assert prepared.errors[row].startswith("column 'x': ")
        assert reason in prepared.errors[row]


NUMBERS = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 10**18 + 7]


def as_csv(path: Path) -> None:
    path.write_text("x,other\n" + "".join(f"{number},1\n" for number in NUMBERS))


def as_json_lines(path: Path) -> None:
    path.write_text("".join(f'{{"x": {number}}}\n' for number in NUMBERS))


@pytest.mark.parametrize(("write", "suffix"), [(as_csv, "csv"), (as_json_lines, "jsonl")])
def test_whole_numbers_of_text_files_keep_their_digits(
    tmp_path: Path, write: Callable[[Path], None], suffix: str
) -> None:
    model, signature = sample("int64")
    runtime = imported(tmp_path, model, signature)
    path = tmp_path / f"rows.{suffix}"
    write(path)
    source = open_source(
        FileInput(uri=str(path), format="csv" if suffix == "csv" else "jsonl"), "data", ColumnUses.of(runtime.signature)
    )
    check_schema(source.schema, runtime.signature)
    [batch] = [batch for segment in source.segments(None) for batch in source.batches(segment, ["x"], 100)]
    feeds: dict[str, Array] = {"x": np.array(NUMBERS)[:, None]}
    np.testing.assert_array_equal(computed(runtime, batch), row_by_row(model, feeds))


def two_outputs() -> onnx.ModelProto:
    """``logits``, two for each row, and ``hidden``, four."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "v"], ["logits"]),
    ]
    random = np.random.default_rng(0)
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2]),
        ],
        initializer=[
            numpy_helper.from_array(random.normal(size=(3, 4)).astype(np.float32), "w"),
            numpy_helper.from_array(random.normal(size=(4, 2)).astype(np.float32), "v"),
        ],
    )
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])


def test_an_output_of_several_is_named_or_the_only_one_that_fits(tmp_path: Path) -> None:
    model = two_outputs()
    rows = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    batch = pa.record_batch({"x": pa.array(list(rows))})
    features = [{"name": "x", "width": 3}]
    classifier = {"features": features, "task": "classification", "target": "y", "labels": ["a", "b"]}
    runtime = imported(tmp_path, model, classifier)
    assert runtime.signature.output == "logits"
    outputs, _ = compute(runtime, batch, logits=True)
    logits = np.array([row["logits"] for row in outputs if row is not None])
    np.testing.assert_allclose(logits, row_by_row(model, {"x": rows}, "logits"), rtol=1e-5)

    embedding = {"features": features, "task": "embedding", "target": "e"}
    ambiguous = "its outputs are 'hidden' float32, 'logits' float32; 2 of them fit the signature"
    with pytest.raises(InvalidInput, match=ambiguous):
        imported(tmp_path, model, embedding)
    with pytest.raises(InvalidInput, match=r"signature\.output: 'other' is no output; its outputs are 'hidden'"):
        imported(tmp_path, model, embedding, output="other")
    runtime = imported(tmp_path, model, embedding, output="hidden")
    np.testing.assert_allclose(computed(runtime, batch), row_by_row(model, {"x": rows}, "hidden"), rtol=1e-5)
    with pytest.raises(InvalidInput, match=r"output 'hidden' \(\?, 4\) must have the shape \(rows, 2\)"):
        imported(tmp_path, model, classifier, output="hidden")


def test_every_input_needs_a_feature(tmp_path: Path) -> None:
    model = model_of([Input("ids", "int64", (4,)), Input("mask", "bool", (4,))])
    both = [{"name": "ids", "width": 4}, {"name": "mask", "width": 4}]

    def signature(features: list[dict[str, object]]) -> dict[str, object]:
        return {"features": features, "task": "embedding", "target": "e"}

    assert imported(tmp_path, model, signature(both)).signature.width == 8
    with pytest.raises(InvalidInput, match=r"no feature is for the input 'mask' bool \(\?, 4\)"):
        imported(tmp_path, model, signature(both[:1]))
    with pytest.raises(InvalidInput, match=r"'tokens': the program has no input 'tokens'; .*'ids' int64 \(\?, 4\)"):
        imported(tmp_path, model, signature([{"name": "tokens", "width": 4}, both[1]]))
    with pytest.raises(InvalidInput, match="'ids' is int32, but the input 'ids' int64"):
        imported(tmp_path, model, signature([{**both[0], "dtype": "int32"}, both[1]]))
    renamed = signature([{"name": "tokens", "width": 4, "input": "ids"}, both[1]])
    batch = pa.record_batch({"tokens": [[1, 2, 3, 4]], "mask": [[True, True, False, False]]})
    assert computed(imported(tmp_path, model, renamed), batch).tolist() == [[1, 2, 3, 4, 1, 1, 0, 0]]


def test_values_of_a_regression_in_64_bits_are_not_rounded(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 1])],
        initializer=[numpy_helper.from_array(np.array(1.0), "one")],
    )
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    runtime = imported(tmp_path, model, {"features": [{"name": "x"}], "task": "regression", "target": "y"})
    outputs, _ = compute(runtime, pa.record_batch({"x": [1_700_000_000.25, 0.1]}))
    assert outputs == [{"value": 1_700_000_001.25}, {"value": 1.1}]
