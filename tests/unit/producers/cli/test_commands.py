"""Every command is there, says what it does, and offers what a job can be told."""

from __future__ import annotations

import re
from typing import get_args

import click
import pytest

from longshore.producers.cli import job_options
from longshore.producers.cli.catalog import COMMANDS
from longshore.producers.cli.commands import jobs as jobs_module
from longshore.producers.cli.main import cli, run
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.base import Spec, keyword_of
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import EvaluateSpec, InferSpec, JobOptions
from longshore.shared.specs.search import CrossValidateSpec, TuneSpec
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import DataFormat, Device, Optimizer, Precision, Schedule, State, Strategy, TrainTask

SHARED = {"home", "json", "debug"}


def command(*path: str) -> click.Command:
    found: click.Command = cli
    for name in path:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None, path
        found = inner
    return found


def every_command() -> list[tuple[str, ...]]:
    groups = [(name,) for name in COMMANDS]
    return [
        *groups,
        *(
            (*path, name)
            for path in groups
            if isinstance(found := command(*path), click.Group)
            for name in found.commands
        ),
    ]


def parameters(*path: str) -> set[str]:
    return {str(parameter.name) for parameter in command(*path).params}


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_command_has_help_and_the_shared_options(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Usage: longshore {' '.join(path)}")
    assert command(*path).help
    assert parameters(*path) >= SHARED


def test_the_design_s_commands_are_there() -> None:
    assert set(COMMANDS) == {
        "up", "down", "status", "top", "demo", "doctor", "worker", "relay", "flower", "migrate", "redis-acl",
        "train", "tune", "cross-validate", "infer", "generate", "evaluate", "jobs", "results", "models", "store",
        "producers", "completion", "df", "clean", "gateway", "tokens", "webhooks",
    }  # fmt: skip
    assert {path[1] for path in every_command() if path[:1] == ("jobs",) and path[1:]} == {
        "list", "show", "why", "logs", "wait", "cancel", "retry", "extend", "plot", "report", "tensorboard",
    }  # fmt: skip
    assert {path[1] for path in every_command() if path[:1] == ("models",) and path[1:]} == {
        "list", "versions", "show", "promote", "unalias", "history", "rollback", "export", "import", "delete",
    }  # fmt: skip


def test_every_option_of_a_job_can_be_given() -> None:
    of_any_job = set(JobOptions.model_fields) | {"format", "wait"}
    assert parameters("infer") - SHARED == set(InferSpec.model_fields) - {"keyed", "counts_tokens"} | of_any_job | {
        "model"
    }
    of_training = set(TrainSpec.model_fields) - {"extends", "base_digest", "teacher_digest", "tokenizer_digest"} | (
        of_any_job - {"rows_per_shard"}
    )
    assert parameters("train") - SHARED == of_training
    assert parameters("tune") - SHARED == of_training | set(TuneSpec.model_fields) - {"train"}
    assert parameters("cross-validate") - SHARED == of_training | {"folds"}
    of_evaluation = keywords(EvaluateSpec) - {"against_digest", "judge_digest"}
    assert parameters("evaluate") - SHARED == of_evaluation | {"model"} | of_any_job - {"rows_per_shard"}
    assert parameters("generate") - SHARED == keywords(GenerateSpec) - {"streamed"} | {"model", "prompts"} | of_any_job


def keywords(spec: type[Spec]) -> set[str]:
    return {keyword_of(name, field) for name, field in spec.model_fields.items()}


def test_choices_are_those_of_the_specs() -> None:
    choices = {
        parameter.name: tuple(parameter.type.choices)
        for parameter in command("train").params
        if isinstance(parameter.type, click.Choice)
    }
    assert choices == {
        "optimizer": get_args(Optimizer),
        "task": get_args(TrainTask),
        "schedule": get_args(Schedule),
        "strategy": get_args(Strategy),
        "precision": get_args(Precision),
        "device": get_args(Device),
        "format": get_args(DataFormat),
    }
    assert tuple(State) == jobs_module.STATES


def test_the_defaults_in_the_help_are_those_of_the_specs() -> None:
    for path, spec in (
        ("train", TrainSpec),
        ("tune", TuneSpec),
        ("cross-validate", CrossValidateSpec),
        ("train", JobOptions),
        ("evaluate", EvaluateSpec),
        ("infer", JobOptions),
    ):
        for parameter in command(path).params:
            field = spec.model_fields.get(str(parameter.name))
            if field is None or not isinstance(parameter, click.Option) or "efault: " not in (parameter.help or ""):
                continue
            said = str(parameter.help).partition("efault: ")[2].rstrip(".")
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                assert float(said) == field.default, parameter.name
            elif isinstance(field.default, str):
                assert said.split(",")[0] == field.default, parameter.name


@pytest.mark.parametrize("name", ["train", "tune", "cross-validate", "infer", "evaluate"])
def test_the_options_of_a_job_are_listed_by_section(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    sections = re.findall(r"^(\S.*):$", capsys.readouterr().out, re.MULTILINE)
    assert sections[-1] == "Every command"
    assert len(sections) == len(set(sections)) > 3


def test_the_family_s_configuration_is_json_or_a_word() -> None:
    given = job_options.parse_config(["hidden=[128,64]", "activation=gelu", "dropout=0.1", "bias=false", "x=a=b"])
    assert given == {"hidden": [128, 64], "activation": "gelu", "dropout": 0.1, "bias": False, "x": "a=b"}


@pytest.mark.parametrize(
    ("wrong", "reason"), [(["hidden"], "KEY=VALUE"), (["=3"], "KEY=VALUE"), (["a=1", "a=2"], "twice")]
)
def test_a_configuration_that_cannot_be_read(wrong: list[str], reason: str) -> None:
    with pytest.raises(click.UsageError, match=reason):
        job_options.parse_config(wrong)


def test_parquet_needs_a_file_and_a_suffix_says_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["results", "x", "--format", "parquet"]) == InvalidInput.exit_code
    assert "-o" in capsys.readouterr().err
    assert run(["results", "x", "-o", "out.txt"]) == InvalidInput.exit_code
    assert "suffix" in capsys.readouterr().err
