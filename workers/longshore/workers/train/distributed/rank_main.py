"""Runs one rank of a training in several processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed

from longshore.broker.logs import configure_logging
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.settings import Process, load_settings
from longshore.shared.specs.train import TrainSpec
from longshore.shared.store.store import Store
from longshore.workers.inputs.inline_blocks import InlineBlocks
from longshore.workers.train.checkpoint.manager import CheckpointManager, read_checkpoint
from longshore.workers.train.checkpoint.state_file import State
from longshore.workers.train.data.load_rows import open_rows
from longshore.workers.train.distributed.failures import write_failure
from longshore.workers.train.distributed.launch_spec import LaunchSpec, read_launch_spec
from longshore.workers.train.distributed.progress import write_progress
from longshore.workers.train.distributed.result import write_result
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.pretrained import load_pretrained
from longshore.workers.train.loop.trainer import train
from longshore.workers.train.strategy.base import Strategy
from longshore.workers.train.strategy.ddp import Ddp
from longshore.workers.train.strategy.fsdp import Fsdp

log = logging.getLogger(__name__)


class NullCheckpointer:
    """The checkpointer of the ranks other than 0: takes part in collecting the state, and saves nothing."""

    def __init__(self, spec: TrainSpec, last: str | None) -> None:
        self._enabled = spec.keep_checkpoints > 0
        self.last = last

    def due(self, done: int) -> bool:
        """Never: rank 0 decides."""
        return False

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        """See :class:`~longshore.workers.train.loop.loop.Checkpointer`."""
        if self._enabled:
            take()
            self.last = f"epoch {epoch}, step {done}"

    def wait(self) -> None:
        """Nothing to wait for."""


class LedgerReporter:
    """Writes rank 0's metrics to the ledger before the next checkpoint: a resumed attempt does not repeat them."""

    def __init__(self, ledger: Ledger, claim: Claim, folder: Path) -> None:
        self._ledger, self._claim, self._folder = ledger, claim, folder

    def epoch(self, number: int, metrics: dict[str, float]) -> None:
        """Report an epoch."""
        self._ledger.attempts.record_metrics(self._claim, number, metrics)
        write_progress(number, self._folder)

    def step(self, number: int, metrics: dict[str, float]) -> None:
        """Report a step."""
        self._ledger.attempts.record_metrics(self._claim, number, metrics)


class NullReporter:
    """Ranks other than 0 report nothing: their metrics are the same."""

    def epoch(self, number: int, metrics: dict[str, float]) -> None:
        """See :class:`LedgerReporter`."""

    def step(self, number: int, metrics: dict[str, float]) -> None:
        """See :class:`LedgerReporter`."""


def run_rank(folder: Path) -> int:
    """Train together with the other ranks. Returns the exit status; an error is written to ``folder``."""
    configure_logging()
    launch, rank = read_launch_spec(folder), int(os.environ["RANK"])
    try:
        _join(launch)
        _train(launch, folder, rank)
        distributed.destroy_process_group()
    except LongshoreError as error:
        write_failure(error, rank, folder)
        return 1
    except Exception as error:  # any error must reach the job's owner
        log.exception("rank %d of %s failed", rank, launch.claim.token)
        write_failure(error, rank, folder)
        return 1
    return 0


def _join(launch: LaunchSpec) -> None:
    torch.set_num_threads(launch.threads)
    if launch.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Gloo handles tensors on the CPU, even if the network is on GPUs.
    distributed.init_process_group("gloo" if launch.device == "cpu" else "cpu:gloo,cuda:nccl")


def _train(launch: LaunchSpec, folder: Path, rank: int) -> None:
    settings, claim = load_settings(process=Process.SERVICES), launch.claim
    spec = TrainSpec.model_validate(claim.spec)
    strategy: Strategy = Fsdp() if spec.strategy == "fsdp" else Ddp()
    device = torch.device("cpu" if launch.device == "cpu" else f"cuda:{os.environ['LOCAL_RANK']}")
    state = None if launch.state is None else read_checkpoint(launch.state)
    with Ledger(settings.database_url, f"longshore rank {rank} of {claim.token}") as ledger:
        store = Store(settings.store, expected=ledger.models.exist)
        checkpoints = (
            CheckpointManager(ledger, store, claim, spec, launch.last)
            if rank == 0
            else NullCheckpointer(spec, launch.last)
        )
        reports = LedgerReporter(ledger, claim, folder) if rank == 0 else NullReporter()
        try:
            # No check: the worker's child ends this process to stop it.
            context = TrainingContext(
                device,
                reports.epoch,
                reports.step,
                checkpoints=CheckpointHooks(checkpoints, state),
                pretrained=load_pretrained(spec, store),
                strategy=strategy,
            )
            trained = train(spec, open_rows(spec, InlineBlocks(ledger, store)), context)
        finally:
            # A later attempt must find the last checkpoint of this one.
            checkpoints.wait()
    if rank == 0:
        write_result(trained, folder)
