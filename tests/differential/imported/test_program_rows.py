"""Programs whose rows see each other, draw random numbers or end in probabilities, against the same rows one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from torch import nn

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature, Task
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.runtimes.base import Execution, Runtime
from longshore.workers.runtimes.loading import load
from longshore.workers.runtimes.row_check import ALONE_NOTE
from tests.computing import compute
from tests.differential.cases import COMPARED, seeds
from tests.differential.imported.running import imported
from tests.pt2_files import save
from tests.unit.shared.model_formats.onnx.files import program

WIDTH = 3
CPU = torch.device("cpu")
FEATURES = (Feature(name="b", width=WIDTH),)
EMBEDDING = Signature(features=FEATURES, task="embedding", target="embedding")
Rows = npt.NDArray[np.float32]


def constant(name: str, value: object, dtype: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype), name)


def graph(*nodes: onnx.NodeProto, tensors: Sequence[onnx.TensorProto] = ()) -> onnx.ModelProto:
    return program(nodes, ("rows", WIDTH), ("rows", "k"), initializers=tensors)


def node(operator: str, inputs: str = "input", output: str = "output", **attributes: int | list[int]) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)  # type: ignore[arg-type]


def classifier(task: Task) -> Signature:
    return Signature(features=FEATURES, task=task, target="y", labels=("a", "b", "c"))


ONES = [constant(name, [1.0] * WIDTH, np.float32) for name in ("s", "t", "m", "v")]
MIXED = {
    "softmax over rows": graph(node("Softmax", axis=0)),
    "running sum over rows": graph(node("CumSum", "input axis"), tensors=[constant("axis", 0)]),
    "mean of rows": graph(node("ReduceMean", output="mean", axes=[0], keepdims=1), node("Sub", "input mean")),
    "largest of rows": graph(node("ReduceMax", output="most", axes=[0], keepdims=1), node("Div", "input most")),
    "reshape": graph(
        node("Transpose", output="turned", perm=[1, 0]),
        node("Reshape", "turned shape"),
        tensors=[constant("shape", [-1, WIDTH])],
    ),
    "dynamic quantization": graph(
        helper.make_node("DynamicQuantizeLinear", ["input"], ["q", "scale", "zero"]),
        node("DequantizeLinear", "q scale zero"),
    ),
}
RANDOM = {
    "dropout": graph(
        node("Dropout", "input ratio training"),
        tensors=[constant("ratio", 0.5, np.float32), constant("training", True, np.bool_)],
    ),
}
DRAWING = ("RandomNormalLike", "RandomUniformLike", "Bernoulli")


def opened(folder: Path, model: onnx.ModelProto, signature: Signature) -> Runtime:
    content = model.SerializeToString()
    path = folder / "m.onnx"
    path.write_bytes(content)
    blob = Blob(digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))
    manifest = Manifest(runtime=RuntimeName.ONNX, weights=blob, signature=signature, created_at="2026-01-01T00:00:00Z")
    return load(manifest, lambda _: path, CPU, Execution())


def table(rows: Rows) -> pa.RecordBatch:
    return pa.record_batch({"b": pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])})


def row_by_row(model: onnx.ModelProto, rows: Rows) -> Rows:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["output"], {"input": row[None]})[0] for row in rows])


@pytest.mark.parametrize("name", MIXED)
def test_rows_that_see_each_other_are_run_alone(tmp_path: Path, name: str) -> None:
    runtime = opened(tmp_path, MIXED[name], EMBEDDING)
    for seed in seeds(2):
        rows = np.random.default_rng(seed).normal(0, 3, (20, WIDTH)).astype(np.float32)
        prepared = runtime.prepare(table(rows))
        assert prepared.notes == (ALONE_NOTE,)
        outputs = runtime.forward(prepared, slice(0, len(rows))).numpy()
        np.testing.assert_allclose(outputs, row_by_row(MIXED[name], rows), rtol=1e-5, atol=1e-6)
        COMPARED.add()


@pytest.mark.parametrize("name", RANDOM)
def test_a_program_that_gives_other_outputs_each_time_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="gives different outputs for the same rows"):
        opened(tmp_path, RANDOM[name], EMBEDDING)


@pytest.mark.parametrize("operator", DRAWING)
def test_a_random_operator_is_refused_by_name_at_import(tmp_path: Path, operator: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(node(operator)).SerializeToString())
    with pytest.raises(InvalidInput, match=f"operator {operator} draws random numbers"):
        read_import(path, EMBEDDING)


def inside_branch(operator: str) -> onnx.ModelProto:
    """The operator runs in one branch of an ``If``."""
    shape: list[str | int | None] = ["rows", WIDTH]
    branches = [
        helper.make_graph(
            [helper.make_node(kind, ["input"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)],
        )
        for name, kind in (("drawn", operator), ("plain", "Identity"))
    ]
    chosen = helper.make_node("If", ["never"], ["output"], then_branch=branches[0], else_branch=branches[1])
    return graph(chosen, tensors=[constant("never", False, np.bool_)])


def inside_loop(operator: str) -> onnx.ModelProto:
    """The operator runs in the body of a ``Loop`` that never begins."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node(operator, ["state"], ["next"]), helper.make_node("Identity", ["on"], ["go"])],
        "body",
        [
            info("step", onnx.TensorProto.INT64, []),
            info("on", onnx.TensorProto.BOOL, []),
            info("state", onnx.TensorProto.FLOAT, ["rows", WIDTH]),
        ],
        [info("go", onnx.TensorProto.BOOL, []), info("next", onnx.TensorProto.FLOAT, ["rows", WIDTH])],
    )
    loop = helper.make_node("Loop", ["times", "", "input"], ["output"], body=body)
    return graph(loop, tensors=[constant("times", 0)])


def inside_function(operator: str) -> onnx.ModelProto:
    """The operator runs in a function of the file."""
    model = graph(helper.make_node("Noisy", ["input"], ["output"], domain="own"))
    steps = [helper.make_node(operator, ["x"], ["y"])]
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Noisy", ["x"], ["y"], steps, imports))
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


@pytest.mark.parametrize("hidden", [inside_branch, inside_loop, inside_function])
@pytest.mark.parametrize("operator", DRAWING)
def test_a_random_operator_inside_another_graph_is_refused_at_import(
    tmp_path: Path, operator: str, hidden: Callable[[str], onnx.ModelProto]
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(hidden(operator).SerializeToString())
    with pytest.raises(InvalidInput, match=f"operator {operator} draws random numbers"):
        read_import(path, EMBEDDING)
    path.write_bytes(hidden("Identity").SerializeToString())
    runtime = opened(tmp_path, onnx.load(path), EMBEDDING)
    rows = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
    outputs = runtime.forward(runtime.prepare(table(rows)), slice(0, 5)).numpy()
    np.testing.assert_array_equal(outputs, rows)


def test_dynamically_quantised_weights_are_noted(tmp_path: Path) -> None:
    """What ``quantize_dynamic`` makes of a network: its scale is that of all rows of a batch."""
    random = np.random.default_rng(0)
    weights = constant("w", random.normal(size=(WIDTH, 4)), np.float32)
    path, quantised = tmp_path / "plain.onnx", tmp_path / "quantised.onnx"
    onnx.save(graph(node("MatMul", "input w"), tensors=[weights]), path)
    quantize_dynamic(path, quantised)
    model = onnx.load(quantised)
    assert "DynamicQuantizeLinear" in {each.op_type for each in model.graph.node}
    runtime = opened(tmp_path, model, EMBEDDING)
    rows = random.normal(0, 5, (20, WIDTH)).astype(np.float32)
    prepared = runtime.prepare(table(rows))
    assert prepared.notes == (ALONE_NOTE,)
    outputs = runtime.forward(prepared, slice(0, len(rows))).numpy()
    np.testing.assert_allclose(outputs, row_by_row(model, rows), rtol=1e-5, atol=1e-6)


def picky(mixed: bool) -> onnx.ModelProto:
    """Takes only rows of numbers of 1,000 or more: others are no index of its only table."""
    nodes = [
        node("Sub", "input base", "shifted"),
        node("Cast", "shifted", "index", to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked_up"]),
        node("Softmax", "looked_up", axis=0 if mixed else -1),
    ]
    tensors = [constant("base", 1000, np.float32), constant("table", [0.5, 1.5, 4.0], np.float32)]
    return graph(*nodes, tensors=tensors)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_program_that_fails_on_trial_rows_is_checked_on_the_first_rows(tmp_path: Path, mixed: bool) -> None:
    model = picky(mixed)
    runtime = opened(tmp_path, model, EMBEDDING)
    rows = np.random.default_rng(0).integers(1000, 1003, (20, WIDTH)).astype(np.float32)
    bad = runtime.prepare(table(np.zeros((3, WIDTH), np.float32)))
    [note] = bad.notes
    assert note.startswith("the program fails on trial rows, so it is not known whether the outputs of a row depend")
    prepared = runtime.prepare(table(rows))
    assert prepared.notes == ((ALONE_NOTE,) if mixed else ())
    outputs = runtime.forward(prepared, slice(0, len(rows))).numpy()
    np.testing.assert_allclose(outputs, row_by_row(model, rows), rtol=1e-5, atol=1e-6)


def test_batch_statistics_are_refused_at_import(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    names = ["input", "s", "t", "m", "v"]
    norm = helper.make_node("BatchNormalization", names, ["output", "mean", "var"], training_mode=1)
    path.write_bytes(graph(norm, tensors=ONES).SerializeToString())
    with pytest.raises(InvalidInput, match="BatchNormalization runs in training mode"):
        read_import(path, EMBEDDING)
    norm = helper.make_node("BatchNormalization", names, ["output"])
    path.write_bytes(graph(norm, tensors=ONES).SerializeToString())
    assert read_import(path, EMBEDDING).manifest.signature == EMBEDDING


@pytest.mark.parametrize(("operator", "task"), [("Softmax", "classification"), ("Sigmoid", "multilabel")])
@pytest.mark.parametrize("scale", [1, 30])
def test_probabilities_are_the_scores(tmp_path: Path, operator: str, task: Task, scale: int) -> None:
    model = graph(node(operator, output="p"), node("Identity", "p"))
    rows = np.random.default_rng(0).normal(0, scale, (50, WIDTH)).astype(np.float32)
    runtime = opened(tmp_path, model, classifier(task))
    prepared = runtime.prepare(table(rows))
    logits = runtime.forward(prepared, slice(0, len(rows)))
    scores = logits.softmax(1) if task == "classification" else logits.sigmoid()
    np.testing.assert_allclose(scores.numpy(), row_by_row(model, rows), atol=1e-6)
    assert prepared.notes == ()
    assert compute(runtime, table(rows))[1] == {}


@pytest.mark.parametrize(("operator", "task"), [("Sigmoid", "classification"), ("Softmax", "multilabel")])
def test_an_activation_that_does_not_fit_the_task_is_noted(tmp_path: Path, operator: str, task: Task) -> None:
    runtime = opened(tmp_path, graph(node(operator)), classifier(task))
    [note] = runtime.prepare(table(np.zeros((1, WIDTH), np.float32))).notes
    assert note.startswith(f"the program ends in a {operator.lower()}, which does not fit the task {task}")


@pytest.mark.parametrize("ending", ["Sigmoid", "Identity"])
def test_one_output_for_two_labels_is_that_of_the_second(tmp_path: Path, ending: str) -> None:
    tensors = [constant("w", [[1.0], [-2.0], [0.5]], np.float32)]
    model = program(
        [node("MatMul", "input w", "z"), node(ending, "z")], ("rows", WIDTH), ("rows", 1), initializers=tensors
    )
    signature = Signature(features=FEATURES, task="classification", target="y", labels=("no", "yes"))
    if ending == "Identity":
        with pytest.raises(InvalidInput, match="if its number is that of 'yes', import it with an output kind"):
            opened(tmp_path, model, signature)
        signature = signature.model_copy(update={"output_kind": "logits"})
    runtime = opened(tmp_path, model, signature)
    rows = np.random.default_rng(0).normal(0, 2, (30, WIDTH)).astype(np.float32)
    numbers = row_by_row(model, rows)[:, 0].astype(np.float64)
    expected = numbers if ending == "Sigmoid" else 1 / (1 + np.exp(-numbers))
    outputs, errors = compute(runtime, table(rows), top_k=2)
    assert errors == {}
    for row, chance in zip(outputs, expected, strict=True):
        assert row is not None
        assert row["label"] == ("yes" if chance > 0.5 else "no")
        np.testing.assert_allclose(float(str(row["score"])), max(chance, 1 - chance), rtol=1e-5)


def test_probabilities_that_are_not_seen_in_the_graph_are_noted(tmp_path: Path) -> None:
    nodes = [
        node("Exp", output="e"),
        helper.make_node("ReduceSum", ["e", "axes"], ["sum"], keepdims=1),
        node("Div", "e sum"),
    ]
    model = graph(*nodes, tensors=[constant("axes", [1])])
    runtime = opened(tmp_path, model, classifier("classification"))
    rows = np.random.default_rng(0).normal(size=(9, WIDTH)).astype(np.float32)
    [note] = runtime.prepare(table(rows)).notes
    assert note.startswith("the outputs of the program for trial rows are probabilities, and are taken for them")
    outputs, _ = compute(runtime, table(rows))
    scores = [row["score"] for row in outputs if row is not None]
    np.testing.assert_allclose(np.array(scores, float), row_by_row(model, rows).max(axis=1), rtol=1e-5)

    stated = classifier("classification").model_copy(update={"output_kind": "logits"})
    assert opened(tmp_path, model, stated).prepare(table(rows)).notes == ()
    multilabel = opened(tmp_path, model, classifier("multilabel"))
    [note] = multilabel.prepare(table(rows)).notes
    assert "lie between 0 and 1, and are taken for logits" in note


def test_a_size_of_minus_one_is_any_size(tmp_path: Path) -> None:
    model = graph(node("Identity"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert opened(tmp_path, model, EMBEDDING).signature == EMBEDDING
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -1  # as many as the features give
    assert opened(tmp_path, model, EMBEDDING).signature == EMBEDDING
    model.graph.input[0].type.tensor_type.shape.dim.add().dim_value = -1
    with pytest.raises(InvalidInput, match=r"input 'input' \(\?, \?, \?\) must have a fixed size in every dimension"):
        opened(tmp_path, model, EMBEDDING)


class Function(nn.Module):
    """A network with one of the functions below."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return {
            "softmax over rows": lambda: rows.softmax(0),
            "running sum over rows": lambda: rows.cumsum(0),
            "mean of rows": lambda: rows - rows.mean(0),
            "probabilities": lambda: rows.softmax(1),
            "elementwise": lambda: rows * 2,
        }[self.name]()


def opened_pt2(folder: Path, name: str, signature: Signature) -> Runtime:
    path = save(Function(name).eval(), (WIDTH,), folder / "m.pt2", torch.export.Dim("rows", min=1), decompose=False)
    imported = read_import(path, signature)
    try:
        blobs = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
        return load(imported.manifest, blobs.__getitem__, CPU, Execution())
    finally:
        imported.close()


@pytest.mark.parametrize(
    ("name", "mixed"),
    [("softmax over rows", True), ("running sum over rows", True), ("mean of rows", True), ("elementwise", False)],
)
def test_rows_of_a_torch_program(tmp_path: Path, name: str, mixed: bool) -> None:
    runtime = opened_pt2(tmp_path, name, EMBEDDING)
    rows = torch.randn((20, WIDTH), generator=torch.Generator().manual_seed(0))
    prepared = runtime.prepare(table(rows.numpy()))
    assert prepared.notes == ((ALONE_NOTE,) if mixed else ())
    outputs = runtime.forward(prepared, slice(0, len(rows)))
    torch.testing.assert_close(outputs, torch.cat([Function(name)(row) for row in torch.split(rows, 1)]))


class Lookup(nn.Module):
    """Token ids to the mean of their vectors, float32."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mean: torch.Tensor = self.table(ids.long()).mean(1)
        return mean


# The exporter itself uses what PyTorch has deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64])
def test_a_torch_program_gets_the_type_that_it_takes(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = Lookup().eval()
    ids = torch.randint(0, 50, (20, WIDTH))
    rows = torch.export.Dim("rows", min=1)
    exported = torch.export.export(network, (ids[:3].to(dtype),), dynamic_shapes=({0: rows},))
    torch.export.save(exported.run_decompositions({}), tmp_path / "m.pt2")
    runtime = imported(tmp_path, tmp_path / "m.pt2", EMBEDDING)
    assert runtime.signature.features[0].dtype == str(dtype).removeprefix("torch.")
    columns = pa.record_batch({"b": pa.array(list(ids.numpy()))})
    outputs = runtime.forward(runtime.prepare(columns), slice(0, 20))
    with torch.inference_mode():
        torch.testing.assert_close(outputs, network(ids))
    bad = runtime.prepare(pa.record_batch({"b": [[1.5, 2, 3]]})).errors
    assert bad == ({} if dtype is torch.float64 else {0: "column 'b': 1.5 is not a whole number, at position 0"})


def test_probabilities_of_a_torch_program_are_the_scores(tmp_path: Path) -> None:
    runtime = opened_pt2(tmp_path, "probabilities", classifier("classification"))
    rows = torch.randn((20, WIDTH), generator=torch.Generator().manual_seed(0))
    logits = runtime.forward(runtime.prepare(table(rows.numpy())), slice(0, len(rows)))
    torch.testing.assert_close(logits.softmax(1), rows.softmax(1))
