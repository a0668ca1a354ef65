"""What is seen of an ONNX program without running it, and how it matches a signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.onnx.classifiers import Classes, find_classes, find_ending, unzip
from longshore.shared.model_formats.onnx.external import ExternalFile, check_locations, external_files
from longshore.shared.model_formats.onnx.graph import OnnxGraph, OnnxNode
from longshore.shared.model_formats.onnx.limits import find_excess
from longshore.shared.model_formats.onnx.messages import find
from longshore.shared.model_formats.onnx.vocabulary import find_vocabulary
from longshore.shared.model_formats.program_io import (
    Ending,
    ProgramIO,
    TensorSpec,
    check_output,
    choose_output,
    kind_of,
    match_inputs,
)
from longshore.shared.specs.signature import Signature

#: The largest protobuf message.
MAX_BYTES = 2**31 - 1
#: Operators that draw random numbers whenever they run.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


@dataclass(frozen=True)
class OnnxProgram:
    """A program that can be run for a signature."""

    #: With what the program itself says: the type of each feature, the labels, and what the output is.
    signature: Signature
    io: ProgramIO
    #: Whether a worker must make the output one of the program before it can be fetched.
    hidden_output: bool
    classes: Classes | None = None
    #: The files with its other tensors, by their paths relative to its folder.
    external: Mapping[str, ExternalFile] = dataclass_field(default_factory=dict)
    #: Texts that it knows, by the name of the input that takes them.
    vocabulary: Mapping[str, Sequence[str]] = dataclass_field(default_factory=dict)


def read_program(content: bytes, signature: Signature, field: str) -> OnnxProgram:
    """Inspect an ONNX file without running it.

    :param signature: need not be complete: it gets what the program itself says.
    :param field: names the file in an error.
    :raises InvalidInput: it is not an ONNX file, stores tensors outside of its folder, draws random numbers, or does
        not match the signature.
    """
    if len(content) > MAX_BYTES:
        raise InvalidInput(field, f"{len(content)} bytes; an ONNX file has at most {MAX_BYTES}")
    model = memoryview(content)
    with _parsing(field):
        external = external_files(model)
        check_locations(external, field)
        graph = OnnxGraph.parse(model)
        _check_operators(model, field)
        fault = find_excess(model)
        classes = find_classes(graph)
        vocabulary = find_vocabulary(graph)
        endings = {spec.name: find_ending(graph, unzip(graph, spec).name) for spec in graph.outputs}
    if fault is not None:
        raise InvalidInput(field, fault)
    if classes is not None:
        signature = _with_labels(signature, classes)
    signature.check("signature")
    inputs, batch, signature = match_inputs(graph.inputs, signature, field)
    labels = classes.output if classes is not None and signature.task == "classification" else None
    signature = signature.model_copy(update={"label_output": labels})
    output, name = _choose(graph, signature, endings, field)
    changes = {
        "output": name if len(graph.outputs) > 1 else None,
        "output_kind": signature.output_kind or kind_of(endings[name], output, signature),
    }
    io = ProgramIO(inputs, output, batch, endings[name])
    hidden = len(graph.outputs) > 1 or output.name != name
    return OnnxProgram(signature.model_copy(update=changes), io, hidden, classes, external, vocabulary)


@contextmanager
def _parsing(field: str) -> Iterator[None]:
    """:raises InvalidInput: the file is damaged."""
    try:
        yield
    except ValueError as error:
        raise InvalidInput(field, f"it is not an ONNX file: {error}") from None


def _choose(
    graph: OnnxGraph, signature: Signature, endings: Mapping[str, Ending | None], field: str
) -> tuple[TensorSpec, str]:
    """The tensor to fetch, and the name of the output that it is."""
    unzipped = {spec.name: unzip(graph, spec) for spec in graph.outputs}
    named = [replace(tensor, name=name) for name, tensor in unzipped.items()]
    chosen = choose_output(named, signature, field)
    check_output(chosen, signature, endings[chosen.name], field)
    return unzipped[chosen.name], chosen.name


def _with_labels(signature: Signature, classes: Classes) -> Signature:
    """The signature with the classes of the program, or with other names for them in the same order.

    :raises InvalidInput: it has them in another order.
    """
    if signature.task != "classification":
        return signature
    if signature.labels is None:
        return signature.model_copy(update={"labels": tuple(classes.labels)})
    own = [str(label) for label in classes.labels]
    for place, label in enumerate(map(str, signature.labels)):
        if label in own and place != own.index(label):
            raise InvalidInput(
                "signature.labels",
                f"{label!r} is at position {place}, but at position {own.index(label)} in the program; leave the "
                f"labels out, or give them in its order: {', '.join(own[:20])}",
            )
    return signature


def _check_operators(model: memoryview, field: str) -> None:
    """:raises InvalidInput: an operator draws random numbers or normalises with the statistics of the batch."""
    for message in find(model, "node"):
        node = OnnxNode.parse(message)
        if node.operator in _RANDOM:
            raise InvalidInput(
                field,
                f"its operator {node.operator} draws random numbers, so the same row would give different outputs; "
                "export the network without it",
            )
        if node.operator == "BatchNormalization" and node.integer("training_mode"):
            raise InvalidInput(
                field,
                "its operator BatchNormalization runs in training mode, so the outputs of a row would depend on the "
                "other rows; call network.eval() before the export",
            )
