"""Programs that may never end, or that state sizes which no machine has, are refused before they run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.limits import MAX_ROUNDS, find_excess
from longshore.shared.model_formats.onnx.program import read_program
from tests.unit.shared.model_formats.onnx.files import REGRESSOR, linear, program

WEIGHTS = linear(np.ones((3, 1), np.float32))
ENDLESS = "its operator Loop has no limit of its rounds, so it may never end"


def number(name: str, *values: float, dtype: type[np.generic] = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values if len(values) != 1 else values[0], dtype), name)


def loop(rounds: str, body: Sequence[onnx.NodeProto] = ()) -> onnx.NodeProto:
    """Goes on until its rounds are over."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*body, helper.make_node("Identity", ["on"], ["go"]), helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [
            info("step", TensorProto.INT64, []),
            info("on", TensorProto.BOOL, []),
            info("before", TensorProto.FLOAT, ["rows", 3]),
        ],
        [info("go", TensorProto.BOOL, []), info("after", TensorProto.FLOAT, ["rows", 3])],
    )
    return helper.make_node("Loop", [rounds, "", "input"], ["looped"], body=graph)


def refused(nodes: Sequence[onnx.NodeProto], initializers: Sequence[onnx.TensorProto] = ()) -> str | None:
    model = program([*nodes, *WEIGHTS], initializers=initializers)
    return find_excess(memoryview(model.SerializeToString()))


def test_a_loop_without_end_is_refused_at_import() -> None:
    model = program([loop(""), *WEIGHTS])
    with pytest.raises(InvalidInput, match=f"^path: {ENDLESS}"):
        read_program(model.SerializeToString(), REGRESSOR, "path")


def test_a_loop_over_the_items_of_a_tensor_is_run() -> None:
    shape = helper.make_node("Shape", ["input"], ["shape"])
    first = helper.make_node("Gather", ["shape", "zero"], ["many"])
    assert refused([shape, first, loop("many")], [number("zero", 0)]) is None


@pytest.mark.parametrize("rounds", [0, 5, MAX_ROUNDS])
def test_a_loop_of_known_rounds_is_run(rounds: int) -> None:
    assert refused([loop("many")], [number("many", rounds)]) is None
    constant = helper.make_node("Constant", [], ["many"], value_int=rounds)
    assert refused([constant, loop("many")]) is None


def test_rounds_are_bounded_however_they_are_stated() -> None:
    assert "1e+06 rounds" in str(refused([loop("many")], [number("many", MAX_ROUNDS + 1)]))
    constant = helper.make_node("Constant", [], ["many"], value=number("", 2**63 - 1))
    assert "9.22e+18 rounds" in str(refused([constant, loop("many")]))
    # Read from the rows, and computed in other ways than from sizes.
    cast = helper.make_node("Cast", ["input"], ["many"], to=TensorProto.INT64)
    assert ENDLESS in str(refused([cast, loop("many")]))
    added = [helper.make_node("Add", [a, a], [b]) for a, b in (("one", "two"), ("two", "many"))]
    assert ENDLESS in str(refused([*added, loop("many")], [number("one", 1)]))
    divided = helper.make_node("Div", ["one", "small"], ["many"])
    numbers = [number("one", 1, dtype=np.float32), number("small", 1e-9, dtype=np.float32)]
    assert ENDLESS in str(refused([divided, loop("many")], numbers))
    # Another constant of this name, in the body, is not the one that counts.
    inner = helper.make_node("Constant", [], ["many"], value_int=1)
    assert "9.22e+18 rounds" in str(refused([loop("many", [inner])], [number("many", 2**63 - 1)]))
    twice = [helper.make_node("Max", [f"v{level}"] * 2, [f"v{level + 1}"]) for level in range(40)]
    assert refused([*twice, loop("v40")], [number("v0", 1)]) is None


def test_loops_in_loops_are_multiplied() -> None:
    assert "its loops and functions run 1.8e+07 operators" in str(
        refused([loop("many", [loop("many")])], [number("many", 3_000)])
    )
    assert refused([loop("many", [loop("many")])], [number("many", 1_000)]) is None


def test_functions_that_call_each_other_twice_are_counted() -> None:
    model = program(WEIGHTS)
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for level in range(40):
        kind, domain = (f"f{level + 1}", "own") if level < 39 else ("Identity", "")
        steps = [helper.make_node(kind, [a], [b], domain=domain) for a, b in (("x", "z"), ("z", "y"))]
        model.functions.append(helper.make_function("own", f"f{level}", ["x"], ["y"], steps, opset))
    assert find_excess(memoryview(model.SerializeToString())) is None
    model.graph.node.insert(0, helper.make_node("f0", ["input"], ["many"], domain="own"))
    assert "become 2.2e+12 operators" in str(find_excess(memoryview(model.SerializeToString())))
    model.functions[39].node[0].op_type, model.functions[39].node[0].domain = "f0", "own"
    assert "calls itself" in str(find_excess(memoryview(model.SerializeToString())))


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("ConstantOfShape", ["shape"], {}),
        ("Expand", ["input", "shape"], {}),
        ("Tile", ["input", "shape"], {}),
        ("Resize", ["input", "", "", "shape"], {"mode": "nearest"}),
        ("Resize", ["input", "", "scales"], {"mode": "nearest"}),
        ("Pad", ["input", "padding"], {}),
        ("Range", ["zero", "padding", "one"], {}),
        ("OneHot", ["input", "padding", "input"], {}),
        ("ConvTranspose", ["input", "input"], {"output_shape": [2**15, 2**15]}),
        ("ConvTranspose", ["input", "input"], {"pads": [-(2**30), 0, 0, 0]}),
        ("Upsample", ["input"], {"scales": [1.0, 1e9]}),
    ],
)
def test_sizes_that_no_machine_has_are_refused(
    operator: str, inputs: list[str], attributes: dict[str, str | list[int] | list[float]]
) -> None:
    constants = [
        number("shape", 2**20, 2**10),
        number("padding", 2**30),
        number("scales", 1e5, 1e5, dtype=np.float32),
        number("zero", 0),
        number("one", 1),
    ]
    node = helper.make_node(operator, inputs, ["large"])
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    assert f"its operator {operator} " in str(refused([node], constants))
    small = [number("shape", 2, 2), number("padding", 3), number("scales", 2, 2, dtype=np.float32), *constants[3:]]
    if not attributes or operator == "Resize":
        assert refused([node], small) is None
