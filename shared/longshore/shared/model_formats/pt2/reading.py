"""Converts an archive of ``torch.export`` to the files of a version, and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.tensors import read_header
from longshore.shared.model_formats.program_io import ProgramIO
from longshore.shared.model_formats.pt2.archive import open_archive
from longshore.shared.model_formats.pt2.conversion import convert
from longshore.shared.model_formats.pt2.program import MAX_PROGRAM_BYTES, PROGRAM, WEIGHTS, Program
from longshore.shared.model_formats.pt2.tensors import locate, write_tensors
from longshore.shared.model_formats.weights import SIZES
from longshore.shared.specs.signature import Signature


def unpack(path: Path, signature: Signature, folder: Path, field: str) -> tuple[dict[str, Path], Signature]:
    """Write the program and the weights of an archive to a folder, without running or unpickling anything.

    :param field: names the archive in an error.
    :returns: the files of the version, by their path in it, and the signature with what the program itself says.
    :raises InvalidInput: the archive cannot be read, or the program cannot be run for the signature.
    :raises ServiceUnavailable: the files cannot be written.
    """
    with open_archive(path, field) as archive:
        model, exported = archive.program()
        program = convert(exported, field)
        _, signature = program.check(signature, field)
        payloads = archive.payloads(model)
        missing = sorted(set(program.weights.values()) - payloads.keys())
        if missing:
            raise InvalidInput(field, f"the weight {missing[0][:80]!r} is missing")
        names = sorted(set(program.weights.values()))
        tensors = [locate(name, *payloads[name], archive, field) for name in names]
        write_tensors(tensors, archive, folder / WEIGHTS)
    (folder / PROGRAM).write_bytes(program.canonical())
    return {name: folder / name for name in (PROGRAM, WEIGHTS)}, signature


def check_files(files: Mapping[str, Path], signature: Signature, field: str) -> tuple[Program, ProgramIO, Signature]:
    """Check the files of a version again, before they are run.

    :returns: the program, its input and output, and the signature with what the program itself says.
    :raises InvalidInput: they do not match each other or the signature.
    """
    if set(files) != {PROGRAM, WEIGHTS}:
        raise InvalidInput(field, f"a version of the runtime pt2 must have the files {PROGRAM} and {WEIGHTS}")
    try:
        if files[PROGRAM].stat().st_size > MAX_PROGRAM_BYTES:
            raise InvalidInput(field, f"{PROGRAM} has more than {MAX_PROGRAM_BYTES} bytes")
        program = Program.parse(files[PROGRAM].read_bytes(), field)
        tensors = read_header(files[WEIGHTS], SIZES)
    except OSError as error:
        raise InvalidInput(field, f"cannot read {error.filename}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(field, f"{WEIGHTS} is not a valid safetensors file: {error}") from None
    program_io, signature = program.check(signature, field)
    if tensors.keys() != set(program.weights.values()):
        raise InvalidInput(field, f"{WEIGHTS} does not have exactly the weights that {PROGRAM} names")
    return program, program_io, signature
