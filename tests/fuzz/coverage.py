"""``python -m tests.fuzz.coverage TARGET``: damage inputs so that they reach code that no input has reached.

It needs atheris (``pip install atheris``), which follows the branches that Longshore takes. It runs until it is stopped
or finds something. Further arguments are those of libFuzzer, such as ``-max_total_time=600``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["longshore"]):
    from tests.fuzz.process import Sandbox, run_input
    from tests.fuzz.targets import ALL


def main() -> None:
    """Run one target, from its valid inputs of one file."""
    target = ALL[sys.argv[1]]
    corpus = Path(tempfile.mkdtemp(prefix="longshore-corpus-"))
    sandbox = Sandbox()
    seeds = target.seeds()
    [name] = {name for files in seeds for name in files}
    for number, files in enumerate(seeds):
        (corpus / str(number)).write_bytes(files[name])

    def run(content: bytes) -> None:
        error = run_input(target, {name: content}, sandbox)
        if error is not None:
            raise error

    atheris.Setup([sys.argv[0], f"-artifact_prefix={corpus}-", *sys.argv[2:], str(corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
