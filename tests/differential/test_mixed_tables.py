"""A raw table of mixed columns against scikit-learn's pipelines with an encoding by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.tables.by_hand import by_hand
from benchmarks.tables.mixed_tables import TABLES, TARGET, TOLERANCE, MixedTable
from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.inline import to_table
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.workers.train.data.dataset import Tables
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.trainer import train

#: A third of the benchmark's, so that a table takes some seconds.
ROWS = 2_000


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_raw_table_is_as_good_as_one_encoded_by_hand(table: MixedTable) -> None:
    learned, others = table.split(ROWS)
    options = {"epochs": 60, "early_stopping": 8, "config": {"hidden": [64]}, "batch_size": 32}
    data = InlineInput(block="b", offset=0, rows=1)
    spec = TrainSpec.model_validate({"model": "m", "family": "mlp", "data": data, "target": TARGET, **options})
    trained = train(spec, Tables(to_table(learned)), TrainingContext(torch.device("cpu")))
    with torch.inference_mode():
        matrices = [to_matrix(batch, trained.signature) for batch in to_table(others).to_batches(max_chunksize=100)]
        outputs = torch.cat([trained.module(torch.from_numpy(matrix.values.copy())) for matrix in matrices]).numpy()
    assert all(matrix.errors == {} for matrix in matrices)
    target = others[TARGET].to_numpy()
    if table.regression:
        score = 1 - float(((outputs[:, 0] - target) ** 2).mean() / np.var(target))
    else:
        assert trained.signature.labels is not None
        score = float((np.array(trained.signature.labels, object)[outputs.argmax(axis=1)] == target).mean())
    found = by_hand(learned, others, regression=table.regression)
    assert score >= max(found.values()) - TOLERANCE, (score, found)
