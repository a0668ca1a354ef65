"""``longshore models``: models, versions and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.commands.models.changes import delete, history, rollback
from longshore.producers.cli.commands.models.importing import import_
from longshore.producers.cli.completion import complete_model, complete_version
from longshore.producers.cli.connect import connected
from longshore.producers.cli.lists import MODEL_COLUMNS, VERSION_COLUMNS, list_options, print_records, sort_records
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import note, print_fields, print_json
from longshore.producers.cli.views.version_changes import print_done

if TYPE_CHECKING:
    from longshore.shared.ledger.records import VersionRecord


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def models(context: click.Context) -> None:
    """List, show, promote, roll back, import, export and delete versions of models.

    A version is written digits:3, or digits@production by an alias; digits alone is the newest version.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError(f"missing command, one of: {', '.join(models.commands)}", context)


@models.command("list")
@list_options(MODEL_COLUMNS, "all")
@with_options
def list_models(options: Options, columns: tuple[str, ...] | None, sort: str | None, limit: int | None) -> None:
    """List the models, by name."""
    with connected(options) as client:
        from longshore.producers.cli.views.model_lists import model_columns

        records = sort_records(client.models.list(), model_columns(), sort)[:limit]
    if options.as_json:
        print_json(records)
    else:
        print_records(records, model_columns(), columns, sort)
        if not records:
            note("no models; longshore train and longshore models import make them")


@models.command()
@click.argument("name", shell_complete=complete_model)
@list_options(VERSION_COLUMNS, "all")
@with_options
def versions(options: Options, name: str, columns: tuple[str, ...] | None, sort: str | None, limit: int | None) -> None:
    """List the versions of a model, oldest first. `--sort=-version --limit 5` lists the newest five."""
    with connected(options) as client:
        from longshore.producers.cli.views.model_lists import version_columns
        from longshore.producers.documents.models import version_document

        records = sort_records(client.models.versions(name), version_columns(), sort)[:limit]
    if options.as_json:
        print_json([version_document(record) for record in records])
    else:
        print_records(records, version_columns(), columns, sort)


@models.command()
@click.argument("reference", shell_complete=complete_version)
@with_options
def show(options: Options, reference: str) -> None:
    """Show a version: signature, metrics and origin."""
    with connected(options) as client:
        record = client.models.get(reference)
    _print_version(options, record)


@models.command()
@click.argument("reference", shell_complete=complete_version)
@click.argument("alias")
@click.option(
    "--if", "if_", metavar="CONDITION", help="Promote only if true, e.g. 'accuracy >= 0.97 and accuracy >= production'."
)
@with_options
def promote(options: Options, reference: str, alias: str, if_: str | None) -> None:
    """Point ALIAS at a version. Submitted jobs keep their version.

    The exit code is 1 if the condition of --if is false.
    """
    with connected(options) as client:
        record = client.models.promote(reference, alias, if_=if_)
    print_done(
        options, record, f"{record.model}@{alias} now points to {record.model}:{record.version}", {"alias": alias}
    )


@models.command()
@click.argument("model", shell_complete=complete_model)
@click.argument("alias")
@with_options
def unalias(options: Options, model: str, alias: str) -> None:
    """Remove ALIAS from a model. Submitted jobs keep their version."""
    with connected(options) as client:
        record = client.models.remove_alias(model, alias)
    print_done(options, record, f"{model}@{alias} removed; it pointed to {model}:{record.version}", {"removed": alias})


@models.command()
@click.argument("reference", shell_complete=complete_version)
@click.argument("path", required=False)
@click.option("-o", "--output", metavar="PATH", help="The same as PATH.")
@click.option("--format", "export_format", help="folder, onnx, pt2, hdf5 or adapter. Default: by the suffix of PATH.")
@click.option("--merged", is_flag=True, help="Merge the adapter into the weights. Only for versions with an adapter.")
@with_options
def export(
    options: Options, reference: str, path: str | None, output: str | None, export_format: str | None, merged: bool
) -> None:
    """Export a version to a new file or folder PATH.

    A folder contains the manifest and the weights, the program or the files of the version. A version of a family can
    also be exported as a program (model.onnx or model.pt2; needs PyTorch) or as its parameters (model.h5). Of a
    version with an adapter the adapter is exported, as peft reads it, or with --merged a whole Hugging Face folder.
    """
    if (path is None) == (output is None):
        raise click.UsageError("specify PATH once, as an argument or with -o")
    with connected(options) as client:
        record = client.models.get(reference)
        target = client.models.export(
            f"{record.model}:{record.version}", str(path or output), export_format, merged=merged
        )
    print_done(options, record, f"exported {record.model}:{record.version} to {target}", {"path": target})


for command in (import_, history, rollback, delete):
    models.add_command(command)


def _print_version(options: Options, record: VersionRecord) -> None:
    from longshore.producers.cli.views.short_values import metrics_text, version_text
    from longshore.producers.cli.views.signatures import describe_feature, describe_output
    from longshore.producers.documents.json_text import to_json
    from longshore.producers.documents.models import version_document
    from longshore.producers.reporting.best_epoch import final_metrics_line, written_best_epoch
    from longshore.producers.reporting.human import time_ago
    from longshore.shared.specs.signature import Signature

    if options.as_json:
        print_json(version_document(record))
        return
    manifest = record.manifest
    signature = Signature.model_validate(manifest["signature"])
    features = [describe_feature(feature) for feature in signature.features]
    lineage = manifest.get("lineage")
    origin: Mapping[str, object] = lineage if isinstance(lineage, Mapping) else {}
    training, notes, base = origin.get("training"), origin.get("notes"), origin.get("base")
    summary: Mapping[str, object] = training if isinstance(training, Mapping) else {}
    best = written_best_epoch(summary)
    print_fields(
        {
            "version": version_text(record.model, record.version),
            "aliases": ", ".join(sorted(record.aliases)),
            "runtime": manifest.get("runtime"),
            "family": manifest.get("family"),
            "config": to_json(manifest["config"]) if "config" in manifest else None,
            "features": ", ".join(features),
            "target": f"{signature.target} ({signature.task})",
            "output": describe_output(signature, str(manifest.get("runtime"))),
            "labels": None if signature.labels is None else ", ".join(map(str, signature.labels)),
            "metrics": metrics_text(manifest.get("metrics")),
            "best epoch": None if best is None else best.text,
            "final metrics": final_metrics_line(summary),
            "notes": tuple(notes) if isinstance(notes, list) else (),
            # That of a training is as the job named it.
            "base": version_text(str(base["model"]), base["version"]) if isinstance(base, Mapping) else base,
            "job": record.job_id or origin.get("job"),
            "size": _size_text(record),
            "digest": record.digest,
            "created": time_ago(record.created_at),
        }
    )


def _size_text(record: VersionRecord) -> str | None:
    from longshore.producers.reporting.human import size_text

    if record.size_bytes is None:
        return None
    shared = f", of which other versions have {size_text(record.shared_bytes)}" if record.shared_bytes else ""
    return f"{size_text(record.size_bytes)}{shared}"
