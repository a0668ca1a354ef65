"""Export a family's version as a program: ``python -m longshore.workers.jobs.export FORMAT MANIFEST WEIGHTS TARGET``.

It runs as a process of its own on the machine that exports, because only this part of Longshore imports PyTorch. An
error is written to standard error as JSON with ``field`` and ``reason``, and the exit status is 2.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from longshore.shared.errors import CorruptBlob, InvalidInput, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.transforms import CategoryTransform, TextTransform
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.offsets import Offsets
from longshore.workers.families.raw_columns import RawColumns
from longshore.workers.runtimes.family import build_module

Rows = dict[int, torch.export.Dim]
#: Rows of the example input. The program takes any number of rows; an example of one row would fix the number to 1.
_EXAMPLE = 2


def write_program(form: str, manifest: Manifest, weights: Path, target: Path) -> None:
    """Write a version as ``onnx`` or ``pt2``: a program from float32 ``(rows, width)`` to ``(rows, outputs)``.

    For classification the outputs are logits. The program standardises its inputs if the training did. If the version
    subtracts offsets from its columns, the program takes float64 and subtracts them, too. If it preprocesses columns,
    the program has an input for each: see :class:`RawColumns`. In ONNX it has the name of the column, and categories
    are texts; see ``name_columns``.

    :raises InvalidInput: its network, or its preprocessing, cannot be exported.
    :raises CorruptBlob: the weights do not fit.
    """
    signature = manifest.signature
    module, offsets = build_module(manifest, weights), signature.offsets
    if signature.is_preprocessed:
        _check_columns(form, signature.features)
        module = RawColumns(signature.features, module).eval()
    elif offsets:
        module = nn.Sequential(Offsets(offsets), module).eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters use what PyTorch itself has deprecated
            (_write_onnx if form == "onnx" else _write_pt2)(module, signature, target)
    except Exception as error:  # exporters, and networks from other packages, can raise any error
        first = next(iter(str(error).splitlines()), "")
        if is_outage(error):
            raise ServiceUnavailable(f"cannot write {target}: {first}") from error
        raise InvalidInput(
            "format", f"PyTorch cannot write family {manifest.family!r} as {form}: {type(error).__name__}: {first}"
        ) from error


def _check_columns(form: str, features: Sequence[Feature]) -> None:
    """:raises InvalidInput: a column is preprocessed in a way that a program cannot."""
    for feature in features:
        if isinstance(feature.transform, TextTransform):
            raise InvalidInput(
                "format",
                f"{form}: column {feature.name!r} is a text, and programs cannot hash its words; export the version "
                f"as a folder, or train one with preprocess={{{feature.name!r}: 'drop'}}",
            )
        if form == "pt2" and isinstance(feature.transform, CategoryTransform):
            raise InvalidInput(
                "format",
                f"pt2: column {feature.name!r} has categories, and programs of PyTorch take no texts; use the format "
                "onnx",
            )


def _write_onnx(module: nn.Module, signature: Signature, target: Path) -> None:
    """https://docs.pytorch.org/docs/stable/onnx_export.html"""
    example, rows = _example(signature)
    names = [f"input_{position}" for position in range(len(example))] if signature.is_preprocessed else ["input"]
    torch.onnx.export(
        module,
        example,
        target,
        input_names=names,
        output_names=["output"],
        dynamic_shapes=rows,
        external_data=False,
        verbose=False,
    )
    if signature.is_preprocessed:
        from longshore.workers.jobs.onnx_columns import name_columns  # onnx is not needed for other formats

        name_columns(target, signature.features)


def _write_pt2(module: nn.Module, signature: Signature, target: Path) -> None:
    """https://docs.pytorch.org/docs/stable/export.html"""
    example, rows = _example(signature)
    program = torch.export.export(module, example, dynamic_shapes=rows)
    torch.export.save(program.run_decompositions({}), target)


def _example(signature: Signature) -> tuple[tuple[torch.Tensor, ...], tuple[Rows | tuple[Rows, ...]]]:
    """Rows as the program takes them, and what their dynamic dimension is."""
    rows: Rows = {0: torch.export.Dim("rows")}
    if not signature.is_preprocessed:
        kind = torch.float64 if signature.offsets else torch.float32
        return (torch.zeros(_EXAMPLE, signature.width, dtype=kind),), (rows,)
    columns = tuple(
        torch.zeros(_EXAMPLE, feature.numbers, dtype=torch.float32 if feature.kind == "category" else torch.float64)
        for feature in signature.features
    )
    return columns, ((rows,) * len(columns),)


def main(arguments: Sequence[str]) -> int:
    """Export; returns the exit status."""
    form, manifest, weights, target = arguments
    try:
        write_program(form, Manifest.parse(Path(manifest).read_bytes()), Path(weights), Path(target))
    except InvalidInput as error:
        json.dump({"field": error.field, "reason": error.reason}, sys.stderr)
        return 2
    except ServiceUnavailable as error:
        json.dump({"outage": str(error)}, sys.stderr)
        return error.exit_code
    except CorruptBlob as error:
        json.dump({"field": "reference", "reason": str(error)}, sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
