"""The engine on vLLM, used from a process without vLLM."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from pydantic import TypeAdapter

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import BegunText, EngineRequest, EngineStep
from longshore.workers.generate.engines.options import EngineOptions
from tests.vllm_environment import ROOT, vllm_python, vllm_variables

_REQUEST = TypeAdapter(EngineRequest)
_STEP = TypeAdapter(EngineStep)
_TEXTS = TypeAdapter(dict[int, BegunText])
_OPTIONS = TypeAdapter(EngineOptions)


class RemoteEngine:
    """An :class:`~longshore.workers.generate.engines.base.Engine` in a process of its own; a context manager.

    :raises InvalidInput: the engine refuses the model.
    """

    def __init__(
        self, folder: Path, *, max_model_len: int, end_tokens: tuple[int, ...], options: EngineOptions | None = None
    ) -> None:
        given = _OPTIONS.dump_json(options or EngineOptions()).decode()
        arguments = [str(folder), str(max_model_len), json.dumps(end_tokens), given]
        self._process = subprocess.Popen(
            [vllm_python(), "-m", "tests.vllm_server", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **vllm_variables(), "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._calls: IO[str] = self._process.stdin
        self._answers: IO[str] = self._process.stdout
        try:
            started = self._answer()
        except BaseException:
            self.close()
            raise
        #: The state of its process before and after the engine was opened.
        self.before: Mapping[str, object] = started["before"]
        self.after: Mapping[str, object] = started["after"]

    @property
    def max_model_len(self) -> int:
        return self._number("max_model_len")

    @property
    def capacity(self) -> int:
        return self._number("capacity")

    @property
    def unfinished(self) -> int:
        return self._number("unfinished")

    @property
    def nbytes(self) -> int:
        return self._number("nbytes")

    def add(self, request: EngineRequest) -> None:
        self._call("add", _REQUEST.dump_json(request).decode())

    def step(self) -> EngineStep:
        return _STEP.validate_python(self._call("step"))

    def texts(self, ids: Collection[int]) -> dict[int, BegunText]:
        return _TEXTS.validate_python(self._call("texts", json.dumps(list(ids))))

    def cancel(self, ids: Collection[int]) -> None:
        self._call("cancel", json.dumps(list(ids)))

    def close(self) -> None:
        """The process closes its engine and ends."""
        with self._process:
            self._calls.close()

    def __enter__(self) -> RemoteEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        assert self._process.returncode == 0 or error is not None

    def _number(self, name: str) -> int:
        state = self._call("state")
        return TypeAdapter(dict[str, int]).validate_python(state)[name]

    def _call(self, name: str, argument: str = "") -> dict[str, dict[str, object]]:
        self._calls.write(json.dumps({"name": name, "argument": argument}) + "\n")
        self._calls.flush()
        return self._answer()

    def _answer(self) -> dict[str, dict[str, object]]:
        line = self._answers.readline()
        assert line, "the process of vLLM has ended; see above"
        answer: dict[str, dict[str, object]] = json.loads(line) or {}
        if answer.keys() == {"field", "reason"}:
            raise InvalidInput(str(answer["field"]), str(answer["reason"]))
        return answer
