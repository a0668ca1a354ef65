"""The result of rank 0: its process writes it, and the worker's child reads and stores it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from longshore.shared.specs.signature import Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build
from longshore.workers.families.registry import get_family
from longshore.workers.families.weights import save_weights
from longshore.workers.runtimes.family import fill_module
from longshore.workers.train.loop.result import TrainedModel, TrainingSummary

_FILE, _WEIGHTS = "result.json", "weights.safetensors"


class _Result(BaseModel):
    """The result without the tensors."""

    model_config = ConfigDict(frozen=True)

    signature: Signature
    config: dict[str, JsonValue]
    metrics: dict[str, float]
    notes: tuple[str, ...]
    tokenizer: str | None
    confusion: list[list[int]] | None
    statistics: tuple[ColumnStatistics, ...]
    summary: TrainingSummary | None


def write_result(trained: TrainedModel, folder: Path) -> None:
    """:raises ServiceUnavailable: the result cannot be written."""
    save_weights(trained.module, folder / _WEIGHTS)
    result = _Result(
        signature=trained.signature,
        config=trained.config.model_dump(mode="json"),
        metrics=trained.metrics,
        notes=trained.notes,
        tokenizer=trained.tokenizer,
        confusion=trained.confusion,
        statistics=trained.statistics,
        summary=trained.summary,
    )
    (folder / _FILE).write_text(result.model_dump_json())


def read_result(spec: TrainSpec, folder: Path) -> TrainedModel:
    """Read the result that :func:`write_result` wrote."""
    result = _Result.model_validate_json((folder / _FILE).read_bytes())
    return TrainedModel(
        module=fill_module(spec.family, result.config, result.signature, folder / _WEIGHTS),
        signature=result.signature,
        config=build(get_family(spec.family).config, result.config, "config."),
        metrics=result.metrics,
        notes=result.notes,
        tokenizer=result.tokenizer,
        confusion=result.confusion,
        statistics=result.statistics,
        summary=result.summary,
    )
