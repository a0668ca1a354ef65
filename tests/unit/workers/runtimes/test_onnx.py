"""An ONNX program, loaded and run."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.inference.batch_runner import NOT_FINITE
from longshore.workers.runtimes.base import Execution, Runtime
from longshore.workers.runtimes.loading import load
from tests.computing import Output, compute
from tests.unit.shared.model_formats.onnx.files import REGRESSOR, Size, external, linear, program, regressor

CPU = torch.device("cpu")
ROWS = np.random.default_rng(0).normal(0, 1, (50, 12)).astype(np.float32)
CLASSIFIER = Signature(
    features=(Feature(name="b", width=12),), task="classification", target="y", labels=("one", "zwei", "три", 4)
)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


def as_program(module: nn.Sequential, taken: tuple[Size, ...]) -> onnx.ModelProto:
    """The same network, as ONNX writes it."""
    tensors = {name: tensor.detach().numpy() for name, tensor in module.named_parameters()}
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "0.weight", "0.bias"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "2.weight", "2.bias"], ["output"], transB=1),
    ]
    weights = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    return program(nodes, taken, (taken[0], 4), initializers=weights)


def opened(path: Path, model: onnx.ModelProto | bytes, signature: Signature = REGRESSOR) -> Runtime:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    path.write_bytes(content)
    blob = Blob(digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))
    manifest = Manifest(runtime=RuntimeName.ONNX, weights=blob, signature=signature, created_at="2026-01-01T00:00:00Z")
    return load(manifest, lambda _: path, CPU, Execution())


def batch(rows: npt.NDArray[np.float32]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"b": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])})


def outputs(runtime: Runtime, rows: npt.NDArray[np.float32]) -> list[Output]:
    found, errors = compute(runtime, batch(rows))
    assert errors == {}
    return [output for output in found if output is not None]


@pytest.mark.parametrize("taken", [("rows", 12), ("rows", 3, 2, 2), (1, 12)])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_outputs_are_those_of_a_plain_forward_pass(tmp_path: Path, taken: tuple[Size, ...], size: int) -> None:
    module = network()
    runtime = opened(tmp_path / "model", as_program(module, taken), CLASSIFIER)
    found = [output for start in range(0, len(ROWS), size) for output in outputs(runtime, ROWS[start : start + size])]
    with torch.no_grad():
        scores, classes = module(torch.from_numpy(ROWS)).softmax(1).max(1)
    assert CLASSIFIER.labels is not None
    assert [output["label"] for output in found] == [str(CLASSIFIER.labels[index]) for index in classes.tolist()]
    assert len({output["label"] for output in found}) > 1
    np.testing.assert_allclose(np.array([output["score"] for output in found]), scores.numpy(), rtol=1e-5)


@pytest.mark.parametrize("model", [regressor(), regressor((1, 3), (1, 1))])
def test_values_are_those_of_the_program(tmp_path: Path, model: onnx.ModelProto) -> None:
    runtime = opened(tmp_path / "model", model)
    found = [output["value"] for output in outputs(runtime, ROWS[:, :3])]
    np.testing.assert_allclose(np.array(found), ROWS[:, :3].sum(1), rtol=1e-5, atol=1e-6)
    assert runtime.nbytes == (tmp_path / "model").stat().st_size


def test_a_regression_may_leave_out_its_last_dimension(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceSum", ["input", "axes"], ["output"], keepdims=0)]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    runtime = opened(tmp_path / "model", program(nodes, given=("rows",), initializers=[axes]))
    assert outputs(runtime, np.ones((2, 3), np.float32)) == [{"value": 3.0}, {"value": 3.0}]


def test_no_rows_give_no_rows(tmp_path: Path) -> None:
    for signature, model in ((REGRESSOR, regressor()), (CLASSIFIER, as_program(network(), ("n", 12)))):
        runtime = opened(tmp_path / "model", model, signature)
        assert outputs(runtime, np.empty((0, signature.width), np.float32)) == []


def test_a_bad_row_fails_alone(tmp_path: Path) -> None:
    runtime = opened(tmp_path / "model", regressor())
    rows = pa.RecordBatch.from_pydict({"b": [[1.0, 2.0, 3.0], None, [3e38, 3e38, 3e38]]})
    found, errors = compute(runtime, rows)
    assert sorted(errors) == [1, 2]
    assert errors[2] == NOT_FINITE
    assert found == [{"value": 6}, None, None]


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        (b"", InvalidInput, "not an ONNX file"),
        (regressor().SerializeToString()[:-5], InvalidInput, "not an ONNX file"),
        (regressor((32, 3)), InvalidInput, "takes exactly 32 rows at a time"),
        (program([helper.make_node("Absent", ["input"], ["output"])]), CorruptBlob, "cannot load the program"),
        (
            program([helper.make_node("Absent", ["input"], ["output"], domain="custom.library")]),
            CorruptBlob,
            "cannot load the program",
        ),
        (program([]), CorruptBlob, "cannot load the program"),
    ],
)
def test_what_cannot_be_run_is_refused(
    tmp_path: Path, model: onnx.ModelProto | bytes, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        opened(tmp_path / "model", model)


def test_a_file_beside_the_program_is_not_read(tmp_path: Path) -> None:
    weights = np.ones((3, 1), np.float32)
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    node = helper.make_node("MatMul", ["input", "w"], ["output"])
    tensor = external(numpy_helper.from_array(weights, "w"), "w.bin")
    with pytest.raises(InvalidInput, match="does not store its tensors in the files of the version"):
        opened(tmp_path / "model", program([node], initializers=[tensor]))


def test_what_the_program_says_of_its_output_is_not_believed(tmp_path: Path) -> None:
    runtime = opened(tmp_path / "model", program(linear(np.ones((3, 2), np.float32)), given=("n", "k")))
    with pytest.raises(InvalidInput, match=r"put out the shape \(5, 2\) for 5 rows instead of \(5, 1\)"):
        outputs(runtime, ROWS[:5, :3])


def test_a_program_that_fails_on_its_rows_says_so(tmp_path: Path) -> None:
    # Not dynamic, whatever its input says: it takes two rows.
    shape = numpy_helper.from_array(np.array([2, 3]), "shape")
    nodes = [
        helper.make_node("Reshape", ["input", "shape"], ["fixed"]),
        helper.make_node("ReduceSum", ["fixed", "axes"], ["output"], keepdims=1),
    ]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    runtime = opened(tmp_path / "model", program(nodes, initializers=[shape, axes]))
    assert math.isclose(float(str(outputs(runtime, np.ones((2, 3), np.float32))[0]["value"])), 3.0)
    with pytest.raises(InvalidInput, match="the ONNX program fails on 5 rows"):
        outputs(runtime, ROWS[:5, :3])
