"""The engine of another process, as an engine of this one."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final, Literal

import torch

from longshore.shared.errors import CorruptBlob, InvalidInput, LongshoreError
from longshore.workers.generate.engines.base import BegunText, EngineRequest, EngineStep
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.remote.messages import ANSWER, CALL, OPEN_CALL, Answer, Call, OpenCall, write
from longshore.workers.generate.engines.remote.process import EngineProcess
from longshore.workers.generate.version import LanguageModel
from longshore.workers.process.watchdog.reasons import describe_exit, redact

#: Characters of the reason why an engine has ended, at most.
MAX_REASON_CHARS: Final = 1500
#: Seconds in which a process that answers no more ends by itself, before it is killed.
EXIT_TIMEOUT_S: Final = 5.0
#: Otherwise a C++ compiler compiles small functions on CPUs.
CPU_VARIABLES: Final[Mapping[str, str]] = {"TORCHDYNAMO_DISABLE": "1"}


class EngineEnded(LongshoreError):
    """The process of an engine has ended, or is of no use any more; the attempt may be repeated. Raised inside workers
    only.
    """


class RemoteEngine:
    """An :class:`~longshore.workers.generate.engines.base.Engine` on vLLM in processes of its own.

    :param python: the interpreter of the process. Default: that of this one.
    :param variables: environment variables that the process has besides those that it needs.
    :raises InvalidInput: the engine cannot run the model.
    :raises CorruptBlob: the files cannot be loaded.
    :raises EngineEnded: the process ended.
    """

    def __init__(
        self,
        model: LanguageModel,
        device: torch.device,
        options: EngineOptions,
        *,
        python: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.max_model_len = model.max_model_len
        self._ids: set[int] = set()
        kind: Literal["cpu", "cuda"] = "cpu" if device.type == "cpu" else "cuda"
        threads = max(1, torch.get_num_threads() // options.tensor_parallel)
        given = {**(CPU_VARIABLES if kind == "cpu" else {}), **(variables or {})}
        own, theirs = socket.socketpair()
        with theirs:
            self._process = EngineProcess(theirs, threads=threads, python=python, variables=given)
        self._socket, self._answers = own, own.makefile("rb")
        try:
            opened = self._call(write(OPEN_CALL, OpenCall(model=model, device=kind, options=options))).opened
            if opened is None:
                raise EngineEnded("the process of the engine did not open one")
        except BaseException:
            self.close()
            raise
        self.capacity, self.nbytes = opened.capacity, opened.nbytes

    @property
    def pid(self) -> int:
        """The process of the engine, the parent of all others."""
        return self._process.pid

    @property
    def unfinished(self) -> int:
        """See :attr:`Engine.unfinished`."""
        return len(self._ids)

    def add(self, request: EngineRequest) -> None:
        """See :meth:`Engine.add`."""
        self._call(write(CALL, Call(name="add", request=request)))
        self._ids.add(request.id)

    def step(self) -> EngineStep:
        """See :meth:`Engine.step`."""
        step = self._call(write(CALL, Call(name="step"))).step
        if step is None:
            raise EngineEnded("the process of the engine answered something else")
        self._ids -= {completion.id for completion in step.completions} | step.failures.keys()
        return step

    def texts(self, ids: Collection[int]) -> dict[int, BegunText]:
        """See :meth:`Engine.texts`."""
        running = self._ids.intersection(ids)
        return self._call(write(CALL, Call(name="texts", ids=tuple(running)))).texts if running else {}

    def cancel(self, ids: Collection[int]) -> None:
        """See :meth:`Engine.cancel`."""
        if running := self._ids.intersection(ids):
            self._ids -= running
            self._call(write(CALL, Call(name="cancel", ids=tuple(running))))

    def close(self) -> None:
        """See :meth:`Engine.close`. All processes of the engine have ended then."""
        self._ids.clear()
        self._answers.close()
        self._socket.close()
        self._process.end()

    def _call(self, line: bytes) -> Answer:
        answer = b""
        with suppress(ConnectionError):  # then it has ended
            self._socket.sendall(line)
        with suppress(ConnectionError):
            answer = self._answers.readline()
        if not answer.endswith(b"\n"):
            code = self._process.end(EXIT_TIMEOUT_S)
            raise EngineEnded(self._reason(describe_exit(code).removeprefix("its process ")))
        read = ANSWER.validate_json(answer)
        if (error := read.error) is None:
            return read
        if error.kind == "input":
            raise InvalidInput(error.field, error.text)
        if error.kind == "blob":
            raise CorruptBlob(error.text)
        self._process.end()
        raise EngineEnded(self._reason(error.text))

    def _reason(self, cause: str) -> str:
        lines = self._process.last_lines()
        said = f"; its last log lines: {lines}" if lines else ""
        return redact(f"the process of the engine vllm {cause}{said}")[:MAX_REASON_CHARS]
