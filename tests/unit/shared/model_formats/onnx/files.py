"""ONNX files to test with, made by the format's own package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from longshore.shared.specs.signature import Feature, Signature

Size = int | str | None
#: Releases of ONNX Runtime that are some years old read these, too.
IR_VERSION, OPSET = 8, 17

REGRESSOR = Signature(features=(Feature(name="b", width=3),), task="regression", target="y")


def linear(weights: npt.NDArray[np.float32]) -> list[onnx.NodeProto]:
    """``output = input @ weights``; the weights are a constant of the graph."""
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weights, "w"))
    return [constant, helper.make_node("MatMul", ["input", "w"], ["output"])]


def program(
    nodes: Sequence[onnx.NodeProto],
    taken: Sequence[Size] = ("rows", 3),
    given: Sequence[Size] = ("rows", 1),
    element: int = TensorProto.FLOAT,
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A model from ``input`` to ``output``."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("input", element, list(taken))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(given))],
        initializer=list(initializers),
    )
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)])


def regressor(taken: Sequence[Size] = ("rows", 3), given: Sequence[Size] = ("rows", 1)) -> onnx.ModelProto:
    """The sum of three numbers."""
    return program(linear(np.ones((3, 1), np.float32)), taken, given)


def external(tensor: onnx.TensorProto, path: str) -> onnx.TensorProto:
    """The tensor, as one whose numbers are in another file."""
    moved = onnx.TensorProto()
    moved.CopyFrom(tensor)
    moved.ClearField("raw_data")
    moved.data_location = TensorProto.EXTERNAL
    entry = moved.external_data.add()
    entry.key, entry.value = "location", path
    return moved
