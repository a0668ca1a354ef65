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

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.signature import Signature
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.offsets import Offsets
from longshore.workers.runtimes.family import build_module

#: Rows of the example input. The program takes any number of rows; an example of one row would fix the number to 1.
_EXAMPLE = 2


def write_program(form: str, manifest: Manifest, weights: Path, target: Path) -> None:
    """Write a version as ``onnx`` or ``pt2``: a program from float32 ``(rows, width)`` to ``(rows, outputs)``.

    For classification the outputs are logits. The program standardises its inputs if the training did. If the version
    subtracts offsets from its columns, the program takes float64 and subtracts them, too.

    :raises InvalidInput: its network cannot be exported.
    :raises CorruptBlob: the weights do not fit.
    """
    module, offsets = build_module(manifest, weights), manifest.signature.offsets
    if offsets:
        module = nn.Sequential(Offsets(offsets), module).eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters use what PyTorch itself has deprecated
            (_write_onnx if form == "onnx" else _write_pt2)(module, manifest.signature, target)
    except Exception as error:  # exporters, and networks from other packages, can raise any error
        first = next(iter(str(error).splitlines()), "")
        raise InvalidInput(
            "format", f"PyTorch cannot write family {manifest.family!r} as {form}: {type(error).__name__}: {first}"
        ) from error


def _write_onnx(module: nn.Module, signature: Signature, target: Path) -> None:
    """https://docs.pytorch.org/docs/stable/onnx_export.html"""
    example = _example(signature)
    names = {"input_names": ["input"], "output_names": ["output"]}
    rows = ({0: torch.export.Dim("rows")},)
    torch.onnx.export(module, example, target, **names, dynamic_shapes=rows, external_data=False, verbose=False)  # type: ignore[arg-type]


def _write_pt2(module: nn.Module, signature: Signature, target: Path) -> None:
    """https://docs.pytorch.org/docs/stable/export.html"""
    example = _example(signature)
    program = torch.export.export(module, example, dynamic_shapes=({0: torch.export.Dim("rows")},))
    torch.export.save(program.run_decompositions({}), target)


def _example(signature: Signature) -> tuple[torch.Tensor]:
    """Rows as the program takes them."""
    kind = torch.float64 if signature.offsets else torch.float32
    return (torch.zeros(_EXAMPLE, signature.width, dtype=kind),)


def main(arguments: Sequence[str]) -> int:
    """Export; returns the exit status."""
    form, manifest, weights, target = arguments
    try:
        write_program(form, Manifest.parse(Path(manifest).read_bytes()), Path(weights), Path(target))
    except InvalidInput as error:
        json.dump({"field": error.field, "reason": error.reason}, sys.stderr)
        return 2
    except CorruptBlob as error:
        json.dump({"field": "reference", "reason": str(error)}, sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
