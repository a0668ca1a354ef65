"""Answers the calls to an engine on vLLM, in the process that runs it."""

from __future__ import annotations

import socket
import sys
import threading
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from longshore.workers.generate.engines.base import Engine
from longshore.workers.generate.engines.remote.messages import (
    ANSWER,
    CALL,
    OPEN_CALL,
    Answer,
    Call,
    CallError,
    EngineShape,
    call_error,
    write,
)
from longshore.workers.generate.engines.vllm import open_engine_here
from longshore.workers.process.watchdog.reasons import describe_exit

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from vllm import LLMEngine
    from vllm.v1.executor.multiproc_executor import MultiprocExecutor

#: Where the processes of vLLM on a CPU share memory, by names that begin as a file of theirs in the temporary folder.
_SHARED_MEMORY: Final = Path("/dev/shm")
_SHARED_NAMES: Final = "vllm_dist_*"


def serve(folder: Path, descriptor: int) -> None:
    """Answer until the other end closes the socket, or the engine cannot be opened.

    :param folder: the folder for temporary files.
    """
    with socket.socket(fileno=descriptor) as end, end.makefile("rb") as calls:
        answers = _Answers(end)
        opening = OPEN_CALL.validate_json(calls.readline())

        def started(engine: LLMEngine) -> None:
            _unlink_shared_memory(folder)
            _watch(engine, answers)

        try:
            engine: Engine = open_engine_here(opening.model, torch.device(opening.device), opening.options, started)
        except Exception as error:  # it belongs to the other end
            answers.send(Answer(error=call_error(error)))
            return
        answers.send(Answer(opened=EngineShape(capacity=engine.capacity, nbytes=engine.nbytes)))
        for line in calls:
            try:
                answer = _run(engine, CALL.validate_json(line))
            except Exception as error:
                answer = Answer(error=call_error(error))
            answers.send(answer)


class _Answers:
    """Sends answers. Can be used from any thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def send(self, answer: Answer) -> None:
        with self._lock:
            self._end.sendall(write(ANSWER, answer))


def _run(engine: Engine, call: Call) -> Answer:
    if call.name == "step":
        return Answer(step=engine.step())
    if call.name == "texts":
        return Answer(texts=engine.texts(call.ids))
    if call.name == "cancel":
        engine.cancel(call.ids)
    elif call.request is not None:
        engine.add(call.request)
    return Answer()


def _watch(engine: LLMEngine, answers: _Answers) -> None:
    """Say so when a process of vLLM ends by itself: nothing would answer what waits for it."""
    executor: MultiprocExecutor | None = getattr(engine.engine_core.engine_core, "model_executor", None)
    workers: list[BaseProcess] = [each.proc for each in getattr(executor, "workers", ())]
    if executor is None or not workers:
        return

    def wait() -> None:
        ended = connection.wait([each.sentinel for each in workers])
        if getattr(executor, "shutting_down", False) and not executor.is_failed:
            return
        number, worker = next((at, each) for at, each in enumerate(workers) if each.sentinel in ended)
        worker.join()
        reason = describe_exit(worker.exitcode or 0).removeprefix("its process ")
        sys.stderr.flush()
        answers.send(
            Answer(error=CallError(kind="engine", text=f"lost process {number + 1} of {len(workers)}, which {reason}"))
        )

    threading.Thread(target=wait, name="processes of vLLM", daemon=True).start()


def _unlink_shared_memory(folder: Path) -> None:
    """Remove the names of memory that all processes have opened by now: vLLM would leave them behind."""
    for file in folder.glob(_SHARED_NAMES):
        for shared in _SHARED_MEMORY.glob(f"{file.name}-*"):
            shared.unlink(missing_ok=True)
