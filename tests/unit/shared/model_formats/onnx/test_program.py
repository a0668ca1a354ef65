"""What is seen of an ONNX file before it is run."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.program import read_program
from longshore.shared.specs.signature import Signature
from tests.unit.shared.model_formats.onnx.files import REGRESSOR, Size, external, linear, program, regressor

WEIGHTS = np.ones((3, 1), np.float32)
TENSOR = external(numpy_helper.from_array(WEIGHTS, "w"), "../../etc/passwd")
CLASSIFIER = Signature(features=REGRESSOR.features, task="classification", target="y", labels=("a", "b"))


def test_the_ends_of_a_program_are_read() -> None:
    found = read_program(regressor().SerializeToString(), REGRESSOR, "path").io
    assert (found.input.name, found.output.name) == ("input", "output")
    assert (found.batch, found.input.row_shape) == (None, (3,))


@pytest.mark.parametrize(
    ("taken", "batch", "row_shape"),
    [
        (("n", 3, 1), None, (3, 1)),
        ((None, 3), None, (3,)),
        ((1, 1, 3), 1, (1, 3)),
        (("n", "m"), None, (3,)),
        (("n", 1, "m", 1), None, (1, 3, 1)),
    ],
)
def test_rows_may_have_any_shape_of_the_width(
    taken: tuple[Size, ...], batch: int | None, row_shape: tuple[int, ...]
) -> None:
    found = read_program(regressor(taken).SerializeToString(), REGRESSOR, "path").io
    assert (found.batch, found.input.row_shape) == (batch, row_shape)


def test_weights_that_are_listed_as_inputs_are_none() -> None:
    model = regressor()
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "old"))
    model.graph.input.append(helper.make_tensor_value_info("old", TensorProto.FLOAT, [3, 1]))
    assert read_program(model.SerializeToString(), REGRESSOR, "path").io.input.name == "input"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (regressor((32, 3)), "takes exactly 32 rows at a time"),
        (regressor(("n", 4)), "takes 4 numbers per row, .* give 3"),
        (regressor(("n", "m", "k")), "a fixed size in every dimension but the rows and at most one other"),
        (regressor(("n", 2, "m")), "takes 2 numbers per row, .* give 3"),
        (regressor(()), "has no shape"),
        (regressor(given=("n", 5)), r"output 'output' \(\?, 5\) must have the shape \(rows, 1\)"),
        (program(linear(WEIGHTS), element=TensorProto.BFLOAT16), "input 'input' is bfloat16, which is not supported"),
        (onnx.ModelProto(), "0 graphs"),
    ],
)
def test_what_does_not_go_with_the_signature_is_refused(model: onnx.ModelProto, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^path: .*{said}"):
        read_program(model.SerializeToString(), REGRESSOR, "path")


def test_a_classifier_has_an_output_for_each_label() -> None:
    with pytest.raises(InvalidInput, match=r"must have the shape \(rows, 2\)"):
        read_program(regressor().SerializeToString(), CLASSIFIER, "path")


def hidden_in_initializer() -> onnx.ModelProto:
    return program(linear(WEIGHTS), initializers=[TENSOR])


def hidden_in_node() -> onnx.ModelProto:
    return program([helper.make_node("Constant", [], ["w"], value=TENSOR)])


def hidden_in_list() -> onnx.ModelProto:
    return program([helper.make_node("Anything", [], ["w"], values=[TENSOR])])


def hidden_in_branch() -> onnx.ModelProto:
    branch = helper.make_graph([helper.make_node("Constant", [], ["w"], value=TENSOR)], "branch", [], [])
    inner = helper.make_graph([helper.make_node("If", ["c"], ["w"], then_branch=branch)], "inner", [], [])
    return program([helper.make_node("If", ["c"], ["w"], then_branch=inner)])


def hidden_in_function() -> onnx.ModelProto:
    model = regressor()
    node = helper.make_node("Constant", [], ["w"], value=TENSOR)
    model.functions.append(helper.make_function("d", "f", [], ["w"], [node], [helper.make_opsetid("", 17)]))
    return model


def hidden_in_sparse_tensor() -> onnx.ModelProto:
    model = regressor()
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=TENSOR, dims=[3, 1]))
    return model


def hidden_in_training() -> onnx.ModelProto:
    model = regressor()
    model.training_info.add().algorithm.initializer.append(TENSOR)
    return model


@pytest.mark.parametrize(
    "model",
    [
        hidden_in_initializer,
        hidden_in_node,
        hidden_in_list,
        hidden_in_branch,
        hidden_in_function,
        hidden_in_sparse_tensor,
        hidden_in_training,
    ],
)
def test_a_tensor_outside_of_the_folder_is_refused(model: Callable[[], onnx.ModelProto]) -> None:
    reason = r"^path: its tensor 'w' is stored in '../../etc/passwd', which is not a relative path in its folder"
    with pytest.raises(InvalidInput, match=reason):
        read_program(model().SerializeToString(), REGRESSOR, "path")


def test_endless_nesting_is_refused() -> None:
    # Field 7 of a model is its graph; then node (1), attribute (5), graph (6), node (1), ...
    content = b""
    for level in reversed(range(5000)):
        number = 7 if level == 0 else (1, 5, 6)[(level - 1) % 3]
        content = bytes([number << 3 | 2]) + _varint(len(content)) + content
    with pytest.raises(InvalidInput, match="nested more than"):
        read_program(content, REGRESSOR, "path")


@given(st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(regressor().SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    with suppress(InvalidInput):
        assert math.prod(read_program(bytes(content), REGRESSOR, "path").io.input.row_shape) == REGRESSOR.width


@pytest.mark.parametrize("content", [b"", b"\x80", b"{}", b"PK\x03\x04" + bytes(100), b"\x3a\xff\x01", b"\xff" * 12])
def test_what_is_no_onnx_file_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^path: it is not an ONNX file"):
        read_program(content, REGRESSOR, "path")


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
