"""Checking requests for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from longshore.producers.planning.conditions import check_gate
from longshore.producers.planning.context import PlanningContext
from longshore.producers.planning.devices import check_devices
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.options import SortedOptions, sort_options
from longshore.producers.planning.training.base_models import (
    check_versions,
    find_versions,
    names_of_versions,
    with_versions,
)
from longshore.producers.planning.training.data import Taken, check_rows, take
from longshore.producers.planning.training.language import (
    check_language_config,
    settle_language_model,
    settle_text_stream,
    take_texts,
    with_language_defaults,
)
from longshore.producers.planning.training.streaming import settle_stream
from longshore.producers.planning.training.task import check_task
from longshore.producers.planning.training.texts import check_text_options, settle_tokenizer, tokens_of
from longshore.producers.requests import CrossValidate, Train, Tune
from longshore.shared.datasets.schemas import check_held_out, infer_features
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.ledger.workers import Workers
from longshore.shared.references import check_alias, check_name
from longshore.shared.specs.families import BUILT_IN, EXTRAS, LANGUAGE_MODELS, image_shape
from longshore.shared.specs.jobs import JobOptions
from longshore.shared.specs.signature import UNFITTED, Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.row_layout import TEXT
from longshore.shared.specs.validation import build, shorten
from longshore.shared.vocabulary import Action, JobKind

#: Options that take a fraction, or data.
HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class CheckedTraining:
    """A request for training that passed all checks."""

    spec: TrainSpec
    options: JobOptions
    #: Two requests are the same if these bytes are equal.
    content: bytes
    #: The input columns.
    features: tuple[Feature, ...]


def plan_training(request: Train, context: PlanningContext) -> NewJob:
    """One training job.

    :raises InvalidInput: the name, the family, an option or the data is wrong; names it.
    """
    checked = check_training(request, request.options, context)
    spec = checked.spec
    queue = context.queues.choose(checked.options.device)
    check_devices(spec, queue, context.ledger.workers)
    draft = Draft(
        kind=JobKind.TRAIN,
        model=spec.model,
        version=None,
        digest=None,
        options=checked.options,
        queue=queue,
        producer=context.producer,
    )
    shards = [NewShard(action=Action.TRAIN, start=0, stop=spec.epochs)]
    return draft.job(spec.model_dump_json(), shards, spec.epochs, checked.content)


def check_training(
    request: Train | Tune | CrossValidate,
    options: Mapping[str, object],
    context: PlanningContext,
) -> CheckedTraining:
    """Check a request for training before the job is queued.

    :param request: which model is trained on which data.
    :param options: the options of the training.
    :raises InvalidInput: the name, the family, an option or the data is wrong; names it.
    """
    models, blocks = context.ledger.models, context.blocks
    if request.family in LANGUAGE_MODELS:
        if not isinstance(request, Train):
            raise InvalidInput("family", f"{request.family!r}: language models are trained by one job; use train")
        options = with_language_defaults(request.family, options)
    _check_family_names(request.family, options)
    parsed = sort_options(options, TrainSpec)
    check_name(request.model)
    held_out = {name: value for name, value in parsed.spec.items() if name in HELD_OUT and not _is_fraction(value)}
    rest = {name: value for name, value in parsed.spec.items() if name not in held_out}
    for name in HELD_OUT:
        if name in rest:
            _check_fraction(name, rest[name])
    values = {"model": request.model, "family": request.family, "target": _target(request), **rest}
    # Check all options before reading the data, which can be slow.
    spec = build(TrainSpec, {**values, "data": {"uri": "/", "format": "csv"}})
    if spec.family in LANGUAGE_MODELS:
        spec = _checked_options(settle_language_model(spec, models, context.store), parsed.spec, held_out)
        return _check_language_training(spec, request.data, held_out, parsed, context)
    versions, original = find_versions(spec, models), spec
    spec = settle_tokenizer(with_versions(spec, versions), versions, models)
    _checked_options(spec, parsed.spec, held_out)
    uses = ColumnUses.for_training(spec.target, spec.features, spec.split, texts=False, preprocess=spec.preprocess)
    data = take(request.data, "data", parsed.format, blocks, spec, uses)
    first = data.rows.slice(0, 1024) if data.whole else data.rows
    head = first.combine_chunks().to_batches()[0]
    features = _features(spec, data.schema, head)
    names = names_of_versions(spec, versions, features, data.schema.names)
    if names is not None:
        spec = spec.model_copy(update={"features": names})
        features = _features(spec, data.schema, head)
    uses = ColumnUses.of(Signature(features=features, task="regression", target=spec.target), target=spec.target)
    others = [take(value, name, None, blocks, spec, uses) for name, value in held_out.items()]
    check_task(spec, data)
    spec = check_text_options(spec, original, features)
    check_family(spec, features, context.ledger.workers)
    check_versions(spec, versions, features)
    if spec.augment is not None:
        spec.augment.check(image_shape(spec.config), features)
    spec = settle_stream(spec, data, features)
    for other in others:
        # Workers compare targets whose type depends on rows that were not read here.
        known = data if data.settled and other.settled else other
        check_held_out(other.schema, features, spec.target, known.schema.field(spec.target).type, other.field)
    for taken in (data, *others):
        check_rows(taken, features, spec)
    return _checked(spec, data, others, parsed.job, features)


def _check_family_names(family: str, options: Mapping[str, object]) -> None:
    """:raises InvalidInput: an option is one of the configuration of the family."""
    config = BUILT_IN[family].model_fields if family in BUILT_IN else {}
    for name, value in options.items():
        # Of lora, alpha is another one than that of rmsprop.
        is_other = name not in TrainSpec.model_fields or (name == "alpha" and options.get("optimizer") != "rmsprop")
        if is_other and name in config:
            raise InvalidInput(name, f"{shorten(value)}: family {family!r} has it in config; give it as config.{name}")


def _target(request: Train | Tune | CrossValidate) -> str:
    if request.target is not None:
        return request.target
    if request.family in LANGUAGE_MODELS and request.options.get("task") != "preference":
        return TEXT
    raise InvalidInput("target", "required, but missing: name the column to predict")


def _checked_options(spec: TrainSpec, options: Mapping[str, object], held_out: Mapping[str, object]) -> TrainSpec:
    """Check the options among themselves. Returns the spec."""
    _check_split(spec, options, held_out)
    spec.check()
    if spec.alias is not None:
        check_alias(spec.alias)
    check_gate(spec)
    return spec


def _check_language_training(
    spec: TrainSpec,
    data: object,
    held_out: Mapping[str, object],
    parsed: SortedOptions,
    context: PlanningContext,
) -> CheckedTraining:
    """The part of :func:`check_training` that looks at texts."""
    config = build(LANGUAGE_MODELS[spec.family], spec.config, "config.")
    check_language_config(spec, config)
    _check_installed(spec.family, context.ledger.workers)
    taken = take_texts(data, "data", parsed.format, context.blocks, spec)
    others = [take_texts(value, name, None, context.blocks, spec) for name, value in held_out.items()]
    spec = settle_text_stream(spec, taken)
    features = tuple(Feature(name=name, kind="text") for name in spec.features or ())
    return _checked(spec, taken, others, parsed.job, features)


def _checked(
    spec: TrainSpec, data: Taken, others: Sequence[Taken], job: JobOptions, features: tuple[Feature, ...]
) -> CheckedTraining:
    fields = {taken.field for taken in (data, *others)}
    content = spec.model_dump_json(exclude=fields, exclude_defaults=True).encode() + data.content
    content += b"".join(f"\n{taken.field}\n".encode() + taken.content for taken in others)
    settled = spec.model_copy(update={taken.field: taken.data for taken in (data, *others)})
    return CheckedTraining(settled, job, content, features)


def _features(spec: TrainSpec, schema: pa.Schema, head: pa.RecordBatch) -> tuple[Feature, ...]:
    return infer_features(
        *(schema, head, spec.target, spec.features, image_shape(spec.config), spec.split, tokens_of(spec)),
        preprocess=spec.preprocess,
    )


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float | np.number) or value is None


def _check_fraction(name: str, value: object) -> None:
    if not (isinstance(value, int | float | np.number) and 0 <= float(value) < 1):
        raise InvalidInput(name, f"{value!r}: give a fraction, 0 or more and less than 1, or rows of their own")


def _check_split(spec: TrainSpec, options: Mapping[str, object], held_out: Mapping[str, object]) -> None:
    """Check that at most one option decides which rows are held out."""
    if spec.split is not None:
        for name in (*HELD_OUT, "stratify"):
            if name in options:
                raise InvalidInput(name, f"the column {spec.split!r} says which rows are held out; leave it out")
    drawn = [name for name in HELD_OUT if name not in held_out and getattr(spec, name) > 0]
    if spec.stratify and (not drawn or spec.task in ("regression", "multilabel")):
        said = f"{spec.task} has no classes to draw from" if drawn else "no fraction of the rows is drawn"
        raise InvalidInput("stratify", f"{said}; leave it out")


def check_family(spec: TrainSpec, features: Sequence[Feature], fleet: Workers) -> None:
    """Check that the family exists and accepts its configuration and these rows.

    :raises InvalidInput: it does not; names the option.
    """
    if spec.family in BUILT_IN:
        family_config = spec.config
        if spec.tokenizer is not None:
            # The tokenizer decides the size of the vocabulary.
            family_config = {**family_config, "vocabulary": spec.tokenizer.vocabulary}
        config = build(BUILT_IN[spec.family], family_config, "config.")
        if all(feature.kind not in UNFITTED for feature in features):
            config.check_width(sum(feature.size for feature in features))
        config.check_columns([feature.name for feature in features])
        _check_installed(spec.family, fleet)
        return
    known = {*BUILT_IN, *fleet.families()}
    if spec.family not in known:
        raise InvalidInput(
            "family",
            f"{spec.family!r} is not a family that a worker can train; the families are {', '.join(sorted(known))}",
        )


def _check_installed(family: str, fleet: Workers) -> None:
    """:raises InvalidInput: workers are known, and none has the extra that the family needs."""
    if family not in EXTRAS:
        return
    offered = fleet.families()
    if offered and family not in offered:
        raise InvalidInput(
            "family",
            f"no worker can train {family!r}: it needs an extra; run there: pip install 'longshore[{EXTRAS[family]}]', "
            "and restart the workers",
        )
