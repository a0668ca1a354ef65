"""ONNX programs with tensors in files beside them, against ONNX Runtime; and files that must not be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from longshore.producers.models.exporting import write_export
from longshore.producers.models.importing import Imported, read_import
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.runtimes.base import Execution, Runtime
from longshore.workers.runtimes.loading import load
from tests.unit.shared.model_formats.onnx.files import IR_VERSION, OPSET

SIGNATURE = Signature(features=(Feature(name="x", width=3),), task="embedding", target="e")
RANDOM = np.random.default_rng(0)
FIRST, SECOND = (RANDOM.normal(size=size).astype(np.float32) for size in ((3, 50), (50, 7)))


def write(folder: Path, location: str | None = "weights.bin") -> Path:
    """Two products of matrices.

    :param location: the file of both matrices; ``None``: a file for each, named like it.
    """
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "first"], ["h"]), helper.make_node("MatMul", ["h", "second"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
        initializer=[numpy_helper.from_array(FIRST, "first"), numpy_helper.from_array(SECOND, "second")],
    )
    model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])
    path = folder / "net.onnx"
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=location is not None,
        location=location,
        size_threshold=0,
    )
    return path


def opened(imported: Imported) -> Runtime:
    files = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
    return load(imported.manifest, files.__getitem__, torch.device("cpu"), Execution())


def outputs(runtime: Runtime, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    prepared = runtime.prepare(pa.record_batch({"x": pa.array(list(rows))}))
    assert prepared.notes == ()
    found: npt.NDArray[np.float32] = runtime.forward(prepared, slice(0, len(rows))).numpy()
    return found


@pytest.mark.parametrize("location", ["weights.bin", "net.onnx.data", None])
def test_files_beside_the_program_are_part_of_the_version(tmp_path: Path, location: str | None) -> None:
    path = write(tmp_path, location)
    imported = read_import(path, SIGNATURE)
    names = {"first", "second"} if location is None else {location}
    assert set(imported.manifest.blobs) == {"model.onnx", *names}
    rows = RANDOM.normal(size=(20, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    runtime = opened(imported)
    np.testing.assert_allclose(outputs(runtime, rows), session.run(["y"], {"x": rows})[0], rtol=1e-5, atol=1e-5)
    assert runtime.nbytes == sum(file.stat().st_size for file in tmp_path.iterdir())

    write_export("folder", imported.manifest, imported.files, tmp_path / "exported")
    again = read_import(tmp_path / "exported", None)
    assert again.manifest.digest == imported.manifest.digest
    np.testing.assert_array_equal(outputs(opened(again), rows), outputs(runtime, rows))
    with pytest.raises(InvalidInput, match="stores tensors in other files; export the version as a folder"):
        write_export("onnx", imported.manifest, imported.files, tmp_path / "alone.onnx")


def test_other_numbers_are_another_version(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = read_import(path, SIGNATURE).manifest
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[5] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    after = read_import(path, SIGNATURE).manifest
    assert before.weights == after.weights
    assert before.blobs["weights.bin"] != after.blobs["weights.bin"]


def located_at(location: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location if entry.key == "location" else entry.value
        path.write_bytes(model.SerializeToString())

    return change


def removed(path: Path) -> None:
    (path.parent / "weights.bin").unlink()


def cut(path: Path) -> None:
    (path.parent / "weights.bin").write_bytes(b"123")


def linked_outside(path: Path) -> None:
    outside = path.parent.parent / "secret.bin"
    (path.parent / "weights.bin").rename(outside)
    (path.parent / "weights.bin").symlink_to(outside)


def a_folder(path: Path) -> None:
    removed(path)
    (path.parent / "weights.bin").mkdir()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (located_at("../secret.bin"), "tensor 'first' is stored in '../secret.bin', which is not a relative path"),
        (located_at("/etc/passwd"), "tensor 'first' is stored in '/etc/passwd', which is not a relative path"),
        (located_at("a/../../secret.bin"), "which is not a relative path"),
        (located_at(""), "which is not a relative path"),
        (located_at("model.onnx"), "is stored in 'model.onnx', a name that a version uses itself"),
        (located_at("absent.bin"), r"cannot read .*absent\.bin, which has its tensor 'first': No such file"),
        (removed, r"cannot read .*weights\.bin, which has its tensor 'first': No such file"),
        (cut, r"weights\.bin has 3 bytes, but its tensors end at 2000"),
        (linked_outside, r"weights\.bin, which has its tensor 'first', is a link that leads out of it"),
        (a_folder, r"weights\.bin, which has its tensor 'first', is not a file"),
    ],
)
def test_a_file_that_is_not_in_the_folder_is_refused(
    tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / "program").mkdir()
    path = write(tmp_path / "program")
    change(path)
    with pytest.raises(InvalidInput, match=rf"^path: .*{reason}"):
        read_import(path, SIGNATURE)


def test_a_manifest_names_exactly_the_files_of_the_program(tmp_path: Path) -> None:
    imported = read_import(write(tmp_path), SIGNATURE)
    write_export("folder", imported.manifest, imported.files, tmp_path / "exported")
    manifest = tmp_path / "exported" / "manifest.json"
    values = json.loads(manifest.read_text())
    del values["files"]
    manifest.write_text(json.dumps(values))
    with pytest.raises(InvalidInput, match="does not name the files with the program's tensors"):
        read_import(tmp_path / "exported", None)
