"""Checking requests for training."""

from __future__ import annotations

import os

import pyarrow as pa

from longshore.producers.drafts import Draft
from longshore.producers.inputs import InputBlocks
from longshore.producers.options import sort_options
from longshore.producers.queues import QueueChoice
from longshore.producers.requests import Train
from longshore.shared.datasets.formats import detect
from longshore.shared.datasets.inline import encode_block, to_table
from longshore.shared.datasets.schemas import infer_features
from longshore.shared.datasets.source import open_source, settle
from longshore.shared.errors import InvalidInput
from longshore.shared.families import BUILT_IN, image_shape
from longshore.shared.jobs import Input, TrainSpec
from longshore.shared.ledger.fleet import Fleet
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.references import check_alias, check_name
from longshore.shared.validation import build

#: Fields of the spec that are arguments of their own.
ARGUMENTS = frozenset({"model", "family", "data", "target"})


def plan_training(request: Train, fleet: Fleet, queues: QueueChoice, producer: str, blocks: InputBlocks) -> NewJob:
    """One training job.

    :raises InvalidInput: the name, the family, an option or the data is wrong; names it.
    """
    options = sort_options(request.options, TrainSpec, ARGUMENTS)
    check_name(request.model)
    given = {"model": request.model, "family": request.family, "target": request.target, **options.spec}
    # Anything but the data is checked before the data is looked at.
    spec = build(TrainSpec, {**given, "data": {"uri": "/", "format": "csv"}})
    spec.check()
    if spec.alias is not None:
        check_alias(spec.alias)
    data, content, schema, head = _take_data(request, options.format, blocks)
    features = infer_features(schema, head, spec.target, spec.features, image_shape(spec.config))
    _check_family(spec, sum(feature.size for feature in features), fleet)
    spec = spec.model_copy(update={"data": data})
    draft = Draft(
        kind="train",
        model=spec.model,
        version=None,
        digest=None,
        options=options.job,
        queue=queues.choose(options.job.device),
        producer=producer,
    )
    shards = [NewShard(task="train", start=0, stop=spec.epochs)]
    same = spec.model_dump_json(exclude={"data"}).encode() + content
    return draft.job(spec.model_dump_json(), shards, spec.epochs, same)


def _take_data(request: Train, form: str | None, blocks: InputBlocks) -> tuple[Input, bytes, pa.Schema, pa.RecordBatch]:
    if isinstance(request.data, str | os.PathLike):
        file = detect(request.data, form)
        source = open_source(file, "data")
        return settle(file, source), file.uri.encode(), source.schema, source.head()
    if form is not None:
        raise InvalidInput("format", "rows that come with the call have no file format; leave it out")
    table = to_table(request.data)
    inline = blocks.take(table, [table.num_rows])[0]
    return inline, encode_block(table), table.schema, table.slice(0, 1024).combine_chunks().to_batches()[0]


def _check_family(spec: TrainSpec, width: int, fleet: Fleet) -> None:
    if spec.family in BUILT_IN:
        build(BUILT_IN[spec.family], spec.config, "config.").check_width(width)
        return
    known = {*BUILT_IN, *fleet.families()}
    if spec.family not in known:
        raise InvalidInput(
            "family", f"{spec.family!r} is none that a worker can train; there are {', '.join(sorted(known))}"
        )
