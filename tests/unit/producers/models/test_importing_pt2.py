"""What ``models import`` makes of a program of torch.export, and what it refuses before anything is stored."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from longshore.producers.models.importing import read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.manifest import MANIFEST_FILE, Manifest
from tests.pt2_files import edited, make, rewrite, save, signature

Files = dict[str, bytes]
Change = Callable[[Files], None]

MODEL, WEIGHTS, CONSTANTS = (
    "models/model.json",
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
SIGNATURE = signature((12,), 4)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, shape, _ = make("mlp")
    return save(module, shape, tmp_path_factory.mktemp("pt2") / "mlp.pt2")


def refused(path: Path, message: str, of: Signature = SIGNATURE) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        read_import(path, of)
    assert caught.value.field == "path"


def changed(archive: Path, tmp_path: Path, change: Change) -> Path:
    return rewrite(archive, tmp_path / "changed.pt2", change)


def model(edit: Callable[[Any], object]) -> Change:
    """Change the program."""
    return lambda files: edited(files, MODEL, edit)


def nodes(edit: Callable[[Any], object]) -> Change:
    """Change its nodes."""
    return model(lambda document: edit(document["graph_module"]["graph"]["nodes"]))


def weight(**values: object) -> Change:
    """Change what is message of one weight."""
    return lambda files: edited(files, WEIGHTS, lambda document: document["config"]["0.weight"].update(values))


def meta(**values: object) -> Change:
    """Change how one weight, of (16, 12), lies in its storage."""
    return lambda files: edited(
        files, WEIGHTS, lambda document: document["config"]["0.weight"]["tensor_meta"].update(values)
    )


def sizes(*numbers: int) -> list[dict[str, int]]:
    return [{"as_int": number} for number in numbers]


def test_import_an_archive(archive: Path) -> None:
    found = read_import(archive, SIGNATURE)
    made = list(found.files.values())
    assert (found.manifest.runtime, found.manifest.signature) == ("pt2", SIGNATURE)
    assert list(found.manifest.blobs) == ["program.json", "weights.safetensors"]
    assert found.manifest.lineage == {"imported": "mlp.pt2"}
    assert Manifest.parse(found.manifest.canonical()) == found.manifest
    again = read_import(archive, SIGNATURE)
    assert again.manifest.files == found.manifest.files  # the same bytes
    again.close()
    found.close()
    assert not any(path.exists() for path in made)


def test_importing_an_exported_version_gives_the_same_version(archive: Path, tmp_path: Path) -> None:
    found = read_import(archive, SIGNATURE)
    for name, path in found.files.items():
        path.rename(tmp_path / name)
    found.close()
    (tmp_path / MANIFEST_FILE).write_bytes(found.manifest.canonical())
    assert read_import(tmp_path, None).manifest == found.manifest
    program = tmp_path / "program.json"
    whole = program.read_text()
    for content, message in (
        (whole[:-5], r"program\.json cannot be read"),
        (whole.replace('"format":1', '"format":2'), r"program\.json cannot be read at format"),
        (whole.replace("relu.default", "relu_.default"), "changes a tensor in place"),
        (whole.replace('"0.weight"', '"1.weight"'), "does not have exactly the weights"),
        (whole.replace('"as_tensor"', '"as_graph"', 1), "a nested graph"),
    ):
        program.write_text(content)
        refused_folder(tmp_path, message)
    program.unlink()
    refused_folder(tmp_path, r"cannot read .*program\.json: there is no such file")


def refused_folder(folder: Path, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_import(folder, None)


class Payload:
    """Whoever unpickles this makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_nothing_in_an_archive_is_unpickled_or_evaluated(archive: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    evil = f"__import__('os').mkdir({str(mark)!r})"
    pickled = pickle.dumps(Payload(mark))

    def strings(value: Any, key: str = "") -> Any:
        """Every text that PyTorch would look into, and is not a name that a program is held together by."""
        if isinstance(value, dict):
            return {name: strings(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [strings(inner, key) for inner in value]
        return evil if key in ("expr_str", "in_spec", "out_spec", "stack_trace", "nn_module_stack") else value

    def change(files: Files) -> None:
        files["data/sample_inputs/model.pt"] = pickled
        files["data/constants/custom_obj_0"] = files["data/constants/opaque_obj_0"] = pickled
        document = json.loads(files[MODEL])
        rows = document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0]
        document = strings(document)
        document["guards_code"] = [evil]
        document["graph_module"]["graph"]["sym_int_values"] = {"s": {"as_expr": {"expr_str": evil, "hint": None}}}
        document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0] = rows
        files[MODEL] = json.dumps(document).encode()

    found = read_import(changed(archive, tmp_path, change), SIGNATURE)
    assert evil.encode() not in found.files["program.json"].read_bytes()
    found.close()
    refused(
        changed(archive, tmp_path, model(lambda document: document.update(strings(document)))),
        "the number of its rows is an expression",
    )
    assert not mark.exists()
    with pytest.raises(FileNotFoundError):  # it would have been made
        pickle.loads(pickle.dumps(Payload(mark / "x" / "y")))  # noqa: S301


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (weight(use_pickle=True), "'0.weight' is pickled"),
        (weight(tensor_meta=None), "'0.weight' is pickled"),
        (weight(path_name="../../etc/passwd"), r"there is no data/weights/\.\./\.\./etc/passwd in it"),
        (weight(path_name="weight_9"), "there is no data/weights/weight_9 in it"),
        (meta(dtype=10), "of an unsupported type or layout"),
        (meta(layout=2), "of an unsupported type or layout"),
        (meta(sizes=sizes(2**40, 2**40)), "exceeds the 768 bytes"),
        (meta(sizes=sizes(2**40, 2**40), strides=sizes(0, 0)), "is larger than its storage"),
        (meta(sizes=sizes(-1, 12)), "are not plain numbers"),
        (meta(strides=sizes(-12, 1)), "are not plain numbers"),
        (meta(storage_offset={"as_int": 1}), "exceeds the"),
        (meta(storage_offset={"as_int": -1}), "are not plain numbers"),
        (meta(sizes=[{"as_expr": {"expr_str": "s0", "hint": None}}] * 2), "are not plain numbers"),
        (meta(strides=sizes(1)), "2 sizes and 1 strides"),
        (lambda files: files.update({CONSTANTS: files[WEIGHTS]}), "both a weight and a constant"),
        (lambda files: files.update({WEIGHTS: files[CONSTANTS]}), r"the weight '0\.bias' is missing"),
        (lambda files: files.pop(WEIGHTS), "there is no data/weights/model_weights_config.json"),
        (lambda files: files.update({WEIGHTS: b"{"}), r"weights_config\.json cannot be read"),
    ],
)
def test_a_weight_that_is_not_a_plain_tensor_is_refused(
    archive: Path, tmp_path: Path, change: Change, message: str
) -> None:
    refused(changed(archive, tmp_path, change), message)


def calls(target: str) -> Change:
    return nodes(lambda found: found[1].update(target=target))


def given(**argument: object) -> Change:
    return nodes(lambda found: found[1]["inputs"][0].update(arg=argument))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (calls("torch.ops.aten.relu_.default"), r"changes a tensor in place; .*run_decompositions\(\{\}\)"),
        (calls("torch.ops.aten.relu.out"), "changes a tensor in place"),
        (calls("torch.ops.aten.rand_like.default"), "draws random numbers"),
        (calls("torch.ops.aten.from_file.default"), "not a supported operator"),
        (calls("torch.ops.aten.to.prim_dtype"), "is an operator of TorchScript"),
        (calls("torch.ops.aten.empty.memory_format"), "not a supported operator"),
        (calls("torch.ops.aten.as_strided.default"), "not a supported operator"),
        (calls("torch.ops.mine.relu.default"), "not an operator of PyTorch's aten"),
        (calls("torch.ops.higher_order.cond"), "runs nested graphs"),
        (calls("os.system"), "not an operator of PyTorch's aten"),
        (calls("_operator.pow"), "not an operator of PyTorch's aten"),
        (calls("_operator.methodcaller"), "not an operator of PyTorch's aten"),
        (calls("torch.ops.aten.relu.default; import os"), "not an operator of PyTorch's aten"),
        (given(as_graph={"name": "g", "graph": {}}), "a nested graph, .* cannot be run"),
        (given(as_custom_obj={"name": "o", "class_fqn": "c"}), "an object of a custom class"),
        (given(as_complex={"real": 0, "imag": 1}), "nodes.1.inputs.0.arg"),
        (given(as_tensor={"name": "input"}, as_int=1), "it has 2 values instead of one"),
        (given(), "it has 0 values instead of one"),
        (given(as_tensor=None), "instead of one"),
        (given(as_int="1"), "valid integer"),
        (given(as_int=2**63), "less than or equal"),
        (given(as_layout=1), "as_layout"),
        (given(as_scalar_type=29), "the number type 29"),
        (given(as_tensor={"name": "absent"}), "uses 'absent', which no node before it computes"),
        (given(as_sym_int={"as_name": "linear"}), "uses 'linear', which no node before it computes"),
        (nodes(lambda found: found.reverse()), "which no node before it computes"),
        (nodes(lambda found: found.append(found[0])), "which is already defined"),
        (nodes(lambda found: found.pop()), "no node computes its output"),
        (nodes(lambda found: found[1].update(outputs=[{"as_string": "x"}])), "returns string, which is not supported"),
        (nodes(lambda found: found[1]["inputs"].append(found[1]["inputs"][0])), "has an argument twice"),
        (lambda files: files.update({MODEL: b"[" * 100_000}), r"model\.json cannot be read"),
        (lambda files: files.update({MODEL: b"\xff"}), r"model\.json cannot be read"),
        (model(lambda document: document["schema_version"].update(major=9)), "version 9 of the schema"),
    ],
)
def test_an_unsupported_program_is_refused(archive: Path, tmp_path: Path, change: Change, message: str) -> None:
    refused(changed(archive, tmp_path, change), message)


def with_specs(*, inputs: int = 0, output: Mapping[str, object] | None = None) -> Change:
    def edit(document: Any) -> None:
        specs = document["graph_module"]["signature"]
        specs["input_specs"] += specs["input_specs"][-1:] * inputs
        if output is not None:
            specs["output_specs"].insert(0, output)

    return model(edit)


MUTATION = {"buffer_mutation": {"arg": {"name": "linear"}, "buffer_name": "mean"}}
INPUT_MUTATION = {"user_input_mutation": {"arg": {"name": "linear"}, "user_input_name": "input"}}
CUSTOM = {"custom_obj": {"arg": {"name": "o", "class_fqn": "c"}, "custom_obj_name": "o"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_specs(inputs=1), "it must have one input, a tensor, but has 2"),
        (with_specs(output={"user_output": {"arg": {"as_tensor": {"name": "linear"}}}}), "one output, .* has 2"),
        (with_specs(output=MUTATION), r"it changes 'mean' whenever it runs; call network\.eval\(\)"),
        (with_specs(output=INPUT_MUTATION), "it changes 'input' whenever it runs"),
        (
            model(lambda document: document["graph_module"]["signature"]["input_specs"].insert(0, CUSTOM)),
            "an object of a custom class",
        ),
    ],
)
def test_a_program_has_one_input_and_one_output_and_changes_nothing(
    archive: Path, tmp_path: Path, change: Change, message: str
) -> None:
    refused(changed(archive, tmp_path, change), message)


def more(name: str, content: bytes = b"") -> Change:
    return lambda files: files.update({name: content})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more("../../outside"), "is not a name that"),
        (more("data/weights/../../../outside"), "is not a name that"),
        (more("data\\weights"), "is not a name that"),
        (more("/etc/passwd"), "is not a name that"),
        (more("data/weights/"), "is not a name that"),
        (more("data/aotinductor/model/code.so"), "is machine code, which is never run"),
        (more("data/other"), "is not a file that torch.export.save writes"),
        (more("code/setup.py"), "is not a file that torch.export.save writes"),
        (more("models/second.json"), "it must have one program, but has 2"),
        (lambda files: files.pop(MODEL), "it must have one program, but has 0"),
        (lambda files: files.pop("archive_format"), "it is another archive, not one of torch.export"),
        (more("archive_format", b"pt3"), "its archive_format is b'pt3'"),
        (more("byteorder", b"big"), "its byteorder is b'big'"),
        (more("archive_format", b"x" * 1000), "archive_format has more than 100 bytes"),
    ],
)
def test_an_archive_with_other_files_is_refused(archive: Path, tmp_path: Path, change: Change, message: str) -> None:
    refused(changed(archive, tmp_path, change), message)


def test_decompression_bombs_are_refused(archive: Path, tmp_path: Path) -> None:
    bomb = rewrite(archive, tmp_path / "bomb.pt2", more("extra/zeros", bytes(10**7)), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10**6
    refused(bomb, "is compressed or encrypted")


@pytest.mark.parametrize("field", [20, 24])
def test_a_wrong_declared_size_is_refused(archive: Path, tmp_path: Path, field: int) -> None:
    """Both sizes of an entry in the directory at the archive's end."""
    content = bytearray(rewrite(archive, tmp_path / "a.pt2", lambda files: None).read_bytes())
    end = content.rindex(b"PK\x05\x06")
    entry = int.from_bytes(content[end + 16 : end + 20], "little")  # the first of the directory
    content[entry + field : entry + field + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.pt2").write_bytes(content)
    refused(tmp_path / "a.pt2", "is compressed or encrypted")
    content[entry + 20 : entry + 28] = (2**31).to_bytes(4, "little") * 2
    (tmp_path / "a.pt2").write_bytes(content)
    refused(tmp_path / "a.pt2", "larger in total than the archive itself")


def test_duplicate_names_are_refused(archive: Path, tmp_path: Path) -> None:
    path = rewrite(archive, tmp_path / "twice.pt2", lambda files: None)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(file.namelist()[0], b"other")
    refused(path, "is in it twice")


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_damaged_archive_is_refused(archive: Path, tmp_path: Path, cut: int) -> None:
    content = archive.read_bytes()
    path = tmp_path / "cut.pt2"
    path.write_bytes(content[:-cut])
    refused(path, "(is a damaged archive|it is a pickle of PyTorch)")  # sample inputs are an archive, too
    flipped = bytearray(content)
    flipped[content.index(b'"graph_module"')] ^= 1
    path.write_bytes(flipped)
    refused(path, r"models/model\.json in it is damaged: Bad CRC")


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(3)])
@pytest.mark.parametrize("decompose", [None, False])
def test_a_network_in_training_is_refused(tmp_path: Path, layer: nn.Module, decompose: bool | None) -> None:
    path = save(nn.Sequential(nn.Linear(3, 3), layer).train(), (3,), tmp_path / "m.pt2", decompose=decompose)
    refused(path, r"(network\.eval\(\)|changes a tensor in place|draws random)", signature((3,), 3))


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(0, keepdim=True)


@pytest.mark.parametrize(
    ("module", "rows", "of", "message"),
    [
        (nn.ReLU(), None, signature((3,), 3), r"it takes exactly 3 rows at a time; .*Dim\(\"batch\"\)"),
        (nn.ReLU(), torch.export.Dim("rows", min=3), signature((3,), 3), "it takes at least 3 rows"),
        (nn.ReLU(), "any", signature((4,), 3), "takes 3 numbers per row, but the signature's features give 4"),
        (nn.ReLU(), "any", signature((3,), 2), r"must have the shape \(rows, 2\)"),
        (nn.Flatten(0), "any", signature((3,), 3), r"must have the shape \(rows, 3\)"),
        (Fixed(), "any", signature((3,), 3), "its output always has 1 rows"),
        (nn.ReLU(inplace=True), "any", signature((3,), 3), "in place"),
    ],
)
def test_a_program_must_match_its_signature(
    tmp_path: Path, module: nn.Module, rows: object, of: Signature, message: str
) -> None:
    refused(save(module, (3,), tmp_path / "m.pt2", rows), message, of)


def test_a_program_needs_a_signature(archive: Path) -> None:
    with pytest.raises(InvalidInput, match="signature: required for a program"):
        read_import(archive, None)


class Doubled(nn.Module):
    """Puts out float64."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.double()


@pytest.mark.parametrize(
    ("module", "dtype", "message"),
    [
        (nn.Identity(), torch.bfloat16, "is a bfloat16 tensor; export it as float32"),
        (nn.Identity(), torch.complex64, "is a complex64 tensor; export it as float32"),
        (Doubled(), torch.float32, "must be a float32 tensor"),
    ],
)
def test_other_types_are_refused(tmp_path: Path, module: nn.Module, dtype: torch.dtype, message: str) -> None:
    with io.BytesIO() as buffer:
        exported = torch.export.export(module, (torch.zeros(2, 3, dtype=dtype),))
        torch.export.save(exported, buffer)
        (tmp_path / "m.pt2").write_bytes(buffer.getvalue())
    embedding = Signature(features=(Feature(name="x", width=3),), task="embedding", target="e")
    refused(tmp_path / "m.pt2", message, embedding)
