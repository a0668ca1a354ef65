"""Runs a program of ``torch.export`` as a module, node by node, with the operators that the nodes name.

No code is generated from a program and none of its text is evaluated: a node is an operator from a list and parsed
arguments. Sizes come from the input tensors.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.pt2.arguments import NamedArgument, Node
from longshore.shared.model_formats.pt2.operators import ASSERTS, SIZES, aten_name
from longshore.shared.model_formats.pt2.program import Program
from longshore.workers.runtimes.recurrent import ARGUMENTS, GATES, guarded
from longshore.workers.runtimes.values import Reader, Value, reader

#: Limit of integers in size computations. Larger integers are no sizes, and arithmetic on them could take forever.
_LARGEST = 2**63
_SYM: dict[str, Callable[..., Value]] = {
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_not": operator.not_,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_ite": lambda condition, first, second: first if condition else second,
    "math.trunc": math.trunc,
    "math.ceil": math.ceil,
    "math.floor": math.floor,
}
#: No operator changes a tensor, so a view and a copy are equivalent; a copy works for a tensor in any layout.
_LIKE = {"view.default": "reshape.default", "_unsafe_view.default": "reshape.default"}

#: New names of arguments, by operator and old name.
_RENAMED = {("reshape", "size"): "shape"}
#: Enumerated types that PyTorch takes as unchecked numbers, and the argument kinds that represent them here.
_ENUMERATED = {
    "ScalarType": "as_scalar_type",
    "MemoryFormat": "as_memory_format",
    "Layout": "as_layout",
    "Device": "as_device",
}
#: Accepted return types of operators, as written in their schemas.
_TENSORS = ("Tensor", "List[Tensor]")


@dataclass(frozen=True)
class Step:
    """One node: its operator, the values it reads and the values it writes."""

    call: Callable[..., Any]
    arguments: tuple[Reader, ...]
    named: tuple[tuple[str, Reader], ...]
    #: Indexes of the result values; ``None`` if there is no result.
    outputs: tuple[int, ...] | None
    #: Whether the operator returns a tuple or list of its outputs.
    several: bool
    #: Indexes of the values that no later node needs.
    last: tuple[int, ...]


class Graph(nn.Module):
    """A program on a device: float32 ``(n, *row_shape)`` to its output.

    :param weights: tensors on the device, by their name in the weights file.
    :raises InvalidInput: this worker's PyTorch does not have an operator, or an operator changes its arguments.
    """

    def __init__(self, program: Program, weights: Mapping[str, torch.Tensor], device: torch.device) -> None:
        super().__init__()
        self._places: dict[str, int] = {}
        for number, (name, weight) in enumerate(program.weights.items()):
            self.register_buffer(f"weight_{number}", weights[weight])
            self._places[name] = number
        self._weights = len(program.weights)
        self._input = self._place(program.input)
        self._device = device
        steps = [self._step(node) for node in program.nodes]
        self._output = self._place(program.output)
        self.steps = _freeing(steps, {self._output, *range(self._weights)})

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Run all nodes. A value is released as soon as no later node needs it."""
        values: list[Value] = [None] * len(self._places)
        for number in range(self._weights):
            values[number] = getattr(self, f"weight_{number}")
        values[self._input] = rows
        for step in self.steps:
            made = step.call(
                *[read(values) for read in step.arguments], **{name: read(values) for name, read in step.named}
            )
            if step.outputs is not None:
                for place, value in zip(step.outputs, made if step.several else (made,), strict=True):
                    values[place] = value
            for place in step.last:
                values[place] = None
        output = values[self._output]
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"the program put out a {type(output).__name__}")
        return output

    def _place(self, name: str) -> int:
        return self._places.setdefault(name, len(self._places))

    def _step(self, node: Node) -> tuple[Step, set[int]]:
        """The step of a node, and the indexes of the values that it needs."""
        call, positional, named = _operator(node)
        arguments = {argument.name: argument.arg for argument in node.inputs}
        used = {self._places[name] for each in arguments.values() for name, _ in each.names()}
        several = len(node.outputs) > 1 or any(output.kind == "as_tensors" for output in node.outputs)
        outputs = tuple(self._place(name) for output in node.outputs for name, _ in output.names())

        def readers(names: Sequence[str]) -> tuple[Reader, ...]:
            return tuple(reader(arguments[name], self._places, self._device) for name in names)

        step = Step(
            call,
            readers(positional),
            tuple(zip(named, readers(named), strict=True)),
            outputs if node.outputs else None,
            several,
            (),
        )
        return step, used


def _freeing(steps: Sequence[tuple[Step, set[int]]], outputs: set[int]) -> list[Step]:
    """The same steps, each with the values to release after it: no later step and no output needs them."""
    seen = set(outputs)
    freeing: list[Step] = []
    for step, used in reversed(steps):
        touched = used | set(step.outputs or ())
        last = tuple(sorted(touched - seen))
        seen |= touched
        freeing.append(Step(step.call, step.arguments, step.named, step.outputs, step.several, last))
    return freeing[::-1]


def _operator(node: Node) -> tuple[Callable[..., object], list[str], list[str]]:
    """The function that a node calls, and the names of its positional and of its keyword arguments."""
    names = [argument.name for argument in node.inputs]
    aten = aten_name(node.target)
    if aten is None:
        return _on_sizes(node.target), names, []
    if aten[0] in ASSERTS:
        return _stop_unless, names[:1], []
    name, overload = _LIKE.get(f"{aten[0]}.{aten[1]}", f"{aten[0]}.{aten[1]}").split(".")
    packet = getattr(torch.ops.aten, name, None)
    called = getattr(packet, overload, None)
    if not isinstance(called, torch._ops.OpOverload):
        raise InvalidInput("model", f"PyTorch {torch.__version__} on this worker has no operator {node.target}")
    schema = called._schema
    if schema.is_mutable:
        raise InvalidInput("model", f"the operator {node.target} changes what it is given, so is not called")
    if node.target.removeprefix("torch.ops.aten.") not in SIZES and not all(
        str(value.type) in _TENSORS for value in schema.returns
    ):
        raise InvalidInput("model", f"the operator {node.target} computes no tensors, so is not called")
    known = {argument.name: argument for argument in schema.arguments}
    renamed = [_RENAMED.get((name, each), each) for each in names]
    unknown = [each for each in renamed if each not in known]
    if unknown:
        raise InvalidInput("model", f"PyTorch {torch.__version__} on this worker: {node.target} takes no {unknown[0]}")
    for given_as in node.inputs:
        _check_kind(node, given_as, known[_RENAMED.get((name, given_as.name), given_as.name)])
    positional = []
    for argument, renamed_to, name_in_call in zip(schema.arguments, renamed, names, strict=False):
        if argument.name != renamed_to or argument.kwarg_only:
            break
        positional.append(name_in_call)
    if name in GATES:
        if overload != "input" or len(positional) != ARGUMENTS or len(names) != ARGUMENTS:
            raise InvalidInput(
                "model", f"{node.target} is not called with these arguments; export it with the network's own"
            )
        return guarded(name, called), positional, []
    return called, positional, names[len(positional) :]


def _check_kind(node: Node, argument: NamedArgument, expected: torch._C.Argument) -> None:
    """:raises InvalidInput: a number is used in place of a value of an enumerated type."""
    kind = argument.arg.kind
    for name, needed in _ENUMERATED.items():
        if (name in str(expected.real_type)) != (kind == needed) and kind != "as_none":
            raise InvalidInput("model", f"{node.target} is given {kind.removeprefix('as_')} as {argument.name}")


def _on_sizes(target: str) -> Callable[..., object]:
    compute = _SYM.get(target) or getattr(operator, target.removeprefix("_operator."))

    def checked(*values: Value) -> Value:
        value: Value = compute(*values)
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise OverflowError(f"a size of the program is {target} of {values}")
        return value

    return checked


def _stop_unless(true: Value) -> None:
    """Raise if a condition is false. On a GPU PyTorch's own assertion would end the process."""
    if not bool(true):
        raise ValueError("a condition of the program does not hold for these rows")
