"""A program of torch.export, imported and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.operators import ATEN
from longshore.shared.model_formats.pt2.program import PROGRAM, WEIGHTS, Program
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.weights import read_weights
from longshore.workers.runtimes.base import Execution, Matrix
from longshore.workers.runtimes.graph import Graph
from longshore.workers.runtimes.loading import load
from longshore.workers.runtimes.network import NetworkRuntime
from tests.pt2_files import NETWORKS, make, save, signature

CPU = torch.device("cpu")
#: Of outputs against those of the network: operators are the same or the same in parts, so that only rounding differs.
RTOL, ATOL = 1e-5, 1e-5
MIN_BATCHES = (1, 2, 7, 64)


class Opened:
    """An archive, imported into a folder and loaded out of it."""

    def __init__(self, path: Path, of: Signature, execution: Execution | None = None) -> None:
        imported = read_import(path, of)
        self.folder = path.with_suffix("")
        self.folder.mkdir()
        self.files = {name: file.rename(self.folder / name) for name, file in imported.files.items()}
        imported.close()
        self.manifest = imported.manifest
        self.runtime = reload(self, execution)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return self.runtime.forward(Matrix(rows.flatten(1), {}), slice(0, len(rows)))


def reload(opened: Opened, execution: Execution | None = None) -> NetworkRuntime:
    by_blob = {blob: opened.files[name] for name, blob in opened.manifest.blobs.items()}
    found = load(opened.manifest, by_blob.__getitem__, CPU, execution or Execution())
    assert isinstance(found, NetworkRuntime)
    return found


def check(opened: Opened, module: nn.Module, shape: tuple[int, ...], rows: int) -> None:
    given = torch.randn(rows, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(opened(given), module(given).reshape(rows, -1), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize(
    ("network", "decompose"),
    [
        # As it was exported, "mixed" writes in place, which is refused.
        *[(network, None) for network in ("mlp", "cnn", "batchnorm", "lstm", "transformer")],
        *[(network, few) for network in NETWORKS for few in (False, True)],
    ],
)
def test_outputs_are_those_of_a_plain_forward_pass(tmp_path: Path, network: str, decompose: bool | None) -> None:
    module, shape, outputs = make(network)
    opened = Opened(save(module, shape, tmp_path / "m.pt2", decompose=decompose), signature(shape, outputs))
    for rows in MIN_BATCHES:
        check(opened, module, shape, rows)


@pytest.mark.parametrize(
    "rows", [torch.export.Dim.DYNAMIC, torch.export.Dim.AUTO, torch.export.Dim("rows", min=2, max=16)]
)
@pytest.mark.parametrize("network", ["mlp", "lstm"])
def test_any_number_of_rows_is_run_whatever_the_range_of_the_program(
    tmp_path: Path, network: str, rows: object
) -> None:
    module, shape, outputs = make(network)
    opened = Opened(save(module, shape, tmp_path / "m.pt2", rows), signature(shape, outputs))
    for number in (*MIN_BATCHES, 16, 17):
        check(opened, module, shape, number)
    assert opened(torch.empty(0, *shape)).shape == (0, outputs)


def test_a_program_of_one_row_is_run_row_by_row(tmp_path: Path) -> None:
    module, shape, outputs = make("cnn")
    opened = Opened(save(module, shape, tmp_path / "m.pt2", None, example=1), signature(shape, outputs))
    check(opened, module, shape, 7)


def test_an_embedding_has_any_width(tmp_path: Path) -> None:
    module, shape, _ = make("mlp")
    embedding = Signature(features=(Feature(name="x", width=12),), task="embedding", target="embedding")
    check(Opened(save(module, shape, tmp_path / "m.pt2"), embedding), module, shape, 5)


def test_a_version_computes_in_the_precision_asked_for(tmp_path: Path) -> None:
    module, shape, outputs = make("cnn")
    opened = Opened(save(module, shape, tmp_path / "m.pt2"), signature(shape, outputs), Execution("bf16"))
    rows = torch.randn(7, *shape)
    assert opened(rows).dtype == torch.bfloat16
    with torch.inference_mode():
        torch.testing.assert_close(opened(rows).float(), module(rows), rtol=0.05, atol=0.02)


def test_a_program_is_not_compiled(tmp_path: Path) -> None:
    module, shape, outputs = make("mlp")
    opened = Opened(save(module, shape, tmp_path / "m.pt2"), signature(shape, outputs))
    with pytest.raises(InvalidInput, match=r"compile: .*leave it out"):
        reload(opened, Execution(compile=True))


def test_only_weights_that_are_used_are_kept_and_shared_ones_once(tmp_path: Path) -> None:
    module, shape, outputs = make("mixed")
    opened = Opened(save(module, shape, tmp_path / "m.pt2", decompose=False), signature(shape, outputs))
    weights = read_weights(opened.files[WEIGHTS])
    assert not [name for name in weights if "num_batches_tracked" in name]
    assert torch.equal(weights["spread"], dict(module.named_parameters())["spread"])
    assert len([name for name in weights if name in ("weight", "tied")]) == 1
    assert opened.runtime.nbytes == sum(tensor.nbytes for tensor in weights.values())


def test_what_is_kept_says_nothing_of_the_machine_that_exported(tmp_path: Path) -> None:
    module, shape, outputs = make("cnn")
    path = save(module, shape, tmp_path / "m.pt2")
    assert str(Path(__file__).parents[3]).encode() in path.read_bytes()  # in its stack traces
    kept = Opened(path, signature(shape, outputs)).files[PROGRAM].read_bytes()
    assert str(Path(__file__).parents[3]).encode() not in kept
    assert b"Symbol" not in kept


def test_values_are_let_go_of_after_their_last_use(tmp_path: Path) -> None:
    module, shape, outputs = make("transformer")
    opened = Opened(save(module, shape, tmp_path / "m.pt2", decompose=True), signature(shape, outputs))
    program = Program.parse(opened.files[PROGRAM].read_bytes(), "model")
    graph = Graph(program, read_weights(opened.files[WEIGHTS]), CPU)
    made = [place for step in graph.steps for place in step.outputs or ()]
    freed = [place for step in graph.steps for place in step.last]
    weights, output = len(program.weights), made[-1]
    assert sorted(freed) == sorted({*made, weights} - {output})  # each once, and the input, which stands after weights
    alive = most = 0
    for step in graph.steps:
        alive += len(step.outputs or ())
        most = max(most, alive)
        alive -= len(step.last)
    assert most < len(made) / 4


def test_everything_is_on_the_worker_s_device_wherever_it_was_exported(tmp_path: Path) -> None:
    meta = torch.device("meta")  # refuses to be mixed with others, as a GPU does
    for network in ("lstm", "transformer", "mixed"):
        module, shape, outputs = make(network)
        opened = Opened(save(module, shape, tmp_path / f"{network}.pt2", decompose=False), signature(shape, outputs))
        program = Program.parse(opened.files[PROGRAM].read_bytes(), "model")
        weights = {name: tensor.to(meta) for name, tensor in read_weights(opened.files[WEIGHTS]).items()}
        found = Graph(program, weights, meta)(torch.empty(7, *shape, device=meta))
        assert (found.device, found.numel()) == (meta, 7 * outputs)


def edit_program(opened: Opened, edit: Callable[[Any], None]) -> None:
    """Change the program of a version, as one who can write into the store could."""
    document = json.loads(opened.files[PROGRAM].read_bytes())
    edit(document)
    opened.files[PROGRAM].write_text(json.dumps(document))
    files = {name: describe(path) for name, path in opened.files.items()}
    opened.manifest = Manifest.model_validate(opened.manifest.model_dump() | {"files": files})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("torch.ops.aten.linear.absent", "on this worker has no operator"),
        ("torch.ops.aten.relu_.default", "changes a tensor in place"),
        ("torch.ops.aten.from_file.default", "not a supported operator"),
        ("torch.ops.prim.load.default", "not an operator of PyTorch's aten"),
        ("torch.load", "not an operator of PyTorch's aten"),
        ("_operator.pow", "not an operator of PyTorch's aten"),
        ("torch.ops.aten.linear.__class__", "on this worker has no operator"),
        ("torch.ops.aten.conv2d.default", "takes no"),
        ("torch.ops.aten.bmm.default", "takes no input"),
        ("torch.ops.aten.add.str", "computes no tensors"),
        ("torch.ops.aten.pow.int_to_int", "computes no tensors"),
        ("torch.ops.aten.mul.left_t", "computes no tensors"),
    ],
)
def test_a_worker_looks_at_each_operator_itself(tmp_path: Path, target: str, said: str) -> None:
    module, shape, outputs = make("mlp")
    opened = Opened(save(module, shape, tmp_path / "m.pt2"), signature(shape, outputs))

    def edit(document: Any) -> None:
        document["nodes"][0]["target"] = target
        if target.endswith("conv2d.default"):
            document["nodes"][0]["inputs"][0]["name"] = "absent"

    edit_program(opened, edit)
    with pytest.raises(InvalidInput, match=said):
        reload(opened)


def test_a_program_that_fails_on_whatever_it_is_given_is_refused_once(tmp_path: Path) -> None:
    module, shape, outputs = make("mlp")
    opened = Opened(save(module, shape, tmp_path / "m.pt2"), signature(shape, outputs))
    edit_program(
        opened, lambda document: document["weights"].update({"p_0_weight": "3.weight", "p_3_weight": "0.weight"})
    )
    with pytest.raises(InvalidInput, match=r"model: program\.json cannot be run: RuntimeError: mat1 and mat2"):
        reload(opened)


def core_operators() -> dict[str, list[Any]]:
    """The overloads of aten that PyTorch calls core, by name."""
    found: dict[str, list[Any]] = {}
    for schema in torch._C._jit_get_all_schemas():
        name = schema.name.removeprefix("aten::")
        packet = getattr(torch.ops.aten, name, None) if schema.name.startswith("aten::") else None
        overload = getattr(packet, schema.overload_name or "default", None)
        if overload is not None and torch.Tag.core in overload.tags:
            found.setdefault(name, []).append(overload)
    return found


def test_every_core_operator_is_called_but_those_with_a_reason() -> None:
    left_out = {
        # read beyond tensors where their arguments are wrong
        "_cdist_forward", "_fft_c2r", "_fft_r2c", "_native_batch_norm_legit", "_pdist_forward",
        "empty", "empty_strided",  # memory as it is found
        "as_strided", "sym_stride", "sym_storage_offset", "sym_is_contiguous",  # ask how a tensor lies in memory
        "rand", "randn", "randperm", "native_dropout",  # random
        "resize_",  # in place
        "_local_scalar_dense",  # sizes that depend on numbers
        "_embedding_bag", "embedding_dense_backward", "_adaptive_avg_pool2d_backward", "avg_pool2d_backward",
        "convolution_backward", "max_pool2d_with_indices_backward", "native_group_norm_backward",
        "native_layer_norm_backward",  # of training
    }  # fmt: skip
    core = core_operators()
    assert len(core) > 150
    assert core.keys() - ATEN == left_out


def test_every_operator_that_is_called_is_there_and_harmless() -> None:
    for name in ATEN:
        packet = getattr(torch.ops.aten, name)
        overloads = [getattr(packet, overload) for overload in packet.overloads()]
        called = [each for each in overloads if not each._schema.is_mutable]
        assert called, name
        for each in called:
            assert not any(argument.alias_info and argument.alias_info.is_write for argument in each._schema.arguments)
            if torch.Tag.nondeterministic_seeded in each.tags:  # refused by its arguments
                names = {argument.name for argument in each._schema.arguments}
                assert names & {"train", "dropout_p"}, each


class Steps(nn.Module):
    """A recurrent network over 5 steps of 4 numbers."""

    def __init__(self, layer: nn.RNNBase, width: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.layer(x.reshape(x.shape[0], 5, 4))[0][:, -1])
        return out


@pytest.mark.parametrize(
    ("layer", "width"),
    [
        (nn.LSTM(4, 6, 2, batch_first=True, proj_size=2, bidirectional=True), 4),
        (nn.LSTM(4, 6, batch_first=True, bias=False), 6),
        (nn.GRU(4, 6, 3, batch_first=True, bidirectional=True), 12),
        (nn.RNN(4, 6, 2, batch_first=True, nonlinearity="relu"), 6),
    ],
)
def test_recurrent_layers_are_run_in_all_their_forms(tmp_path: Path, layer: nn.RNNBase, width: int) -> None:
    module = Steps(layer, width).eval()
    opened = Opened(save(module, (20,), tmp_path / "m.pt2"), signature((20,), 3))
    for rows in MIN_BATCHES:
        check(opened, module, (20,), rows)


@pytest.mark.parametrize(
    "argument",
    [
        {"name": "num_layers", "arg": {"as_int": 3}},
        {"name": "has_biases", "arg": {"as_bool": False}},
        {"name": "bidirectional", "arg": {"as_bool": False}},
        {"name": "batch_first", "arg": {"as_int": 7}},
        {"name": "params", "arg": {"as_tensors": []}},
        {"name": "params", "arg": {"as_tensors": [{"name": "p_head_bias"}] * 16}},
        {"name": "hx", "arg": {"as_tensors": [{"name": "p_head_bias"}] * 2}},
        {"name": "input", "arg": {"as_tensor": {"name": "p_head_bias"}}},
    ],
)
def test_a_recurrent_operator_does_not_read_beyond_its_tensors(tmp_path: Path, argument: dict[str, Any]) -> None:
    """PyTorch 2.13 ends the process at some of these."""
    module, shape, outputs = make("lstm")
    opened = Opened(save(module, shape, tmp_path / "m.pt2"), signature(shape, outputs))

    def edit(document: Any) -> None:
        [node] = [node for node in document["nodes"] if node["target"] == "torch.ops.aten.lstm.input"]
        [given] = [given for given in node["inputs"] if given["name"] == argument["name"]]
        given["arg"] = argument["arg"]
        used = {name for each in document["nodes"] for given in each["inputs"] for name in _names(given["arg"])}
        document["weights"] = {name: value for name, value in document["weights"].items() if name in used}

    edit_program(opened, edit)
    kept = set(json.loads(opened.files[PROGRAM].read_bytes())["weights"].values())
    weights = {name: tensor for name, tensor in read_weights(opened.files[WEIGHTS]).items() if name in kept}
    save_file(weights, opened.files[WEIGHTS])
    edit_program(opened, lambda document: None)
    with pytest.raises(InvalidInput, match=r"program\.json cannot be run: ValueError: lstm is given"):
        reload(opened)


def _names(argument: dict[str, Any]) -> list[str]:
    """The tensors of an argument."""
    found = argument.get("as_tensors", [argument["as_tensor"]] if "as_tensor" in argument else [])
    return [each["name"] for each in found]
