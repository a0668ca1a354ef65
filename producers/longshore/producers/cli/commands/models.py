"""``longshore models``: the versions there are, and which alias means which."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, shared_options, with_options
from longshore.producers.cli.output import print_fields, print_json, print_table, to_json

if TYPE_CHECKING:
    from longshore.shared.ledger.records import VersionRecord


@click.group(invoke_without_command=True)
@shared_options
@click.pass_context
def models(context: click.Context) -> None:
    """List, show, promote, import, export and delete versions of models.

    A version is named digits:3 or by an alias, digits@production; digits alone means the newest.
    """
    if context.invoked_subcommand is None:
        raise click.UsageError(f"give a command: {', '.join(models.commands)}", context)


@models.command("list")
@with_options
def list_models(options: Options) -> None:
    """List the models."""
    with connected(options) as client:
        from longshore.producers.cli.views.json_documents import MODEL_HEADERS, model_row

        found = client.models.list()
    if options.as_json:
        print_json(found)
    else:
        print_table(MODEL_HEADERS, [model_row(record) for record in found])


@models.command()
@click.argument("name")
@with_options
def versions(options: Options, name: str) -> None:
    """List the versions of a model, oldest first."""
    with connected(options) as client:
        from longshore.producers.cli.views.json_documents import VERSION_HEADERS, version_document, version_row

        found = client.models.versions(name)
    if options.as_json:
        print_json([version_document(record) for record in found])
    else:
        print_table(VERSION_HEADERS, [version_row(record) for record in found])


@models.command()
@click.argument("reference")
@with_options
def show(options: Options, reference: str) -> None:
    """Show one version: what it reads and gives, what was measured, and where it comes from."""
    with connected(options) as client:
        found = client.models.get(reference)
        # The list knows the aliases, too.
        same = [each for each in client.models.versions(found.model) if each.version == found.version]
    _print_version(options, same[0] if same else found)


@models.command()
@click.argument("reference")
@click.argument("alias")
@click.option("--if", "if_", metavar="CONDITION", help="On its metrics: 'accuracy >= 0.97 and accuracy >= production'.")
@with_options
def promote(options: Options, reference: str, alias: str, if_: str | None) -> None:
    """Point ALIAS at a version; jobs that were submitted before keep theirs. Ends with 1 where --if is false."""
    with connected(options) as client:
        found = client.models.promote(reference, alias, if_=if_)
    _tell(options, found, f"{found.model}@{alias} is {found.model}:{found.version} now", {"alias": alias})


@models.command()
@click.argument("model")
@click.argument("alias")
@with_options
def unalias(options: Options, model: str, alias: str) -> None:
    """Take ALIAS away from a model; jobs that were submitted with it keep their version."""
    with connected(options) as client:
        found = client.models.remove_alias(model, alias)
    _tell(options, found, f"{model}@{alias}, which was {model}:{found.version}, is gone", {"removed": alias})


@models.command()
@click.argument("reference")
@click.argument("path", required=False)
@click.option("-o", "--output", metavar="PATH", help="The same as PATH.")
@click.option("--format", "form", help="folder, onnx, pt2 or hdf5; if not given, by how PATH ends.")
@with_options
def export(options: Options, reference: str, path: str | None, output: str | None, form: str | None) -> None:
    """Write a version into a new PATH.

    A folder holds its manifest, and its weights, its program or its files. A version of a family can be written as a
    program (model.onnx, model.pt2; with PyTorch installed) and as its parameters (model.h5), too.
    """
    if (path is None) == (output is None):
        raise click.UsageError("give PATH once, as an argument or after -o")
    with connected(options) as client:
        found = client.models.get(reference)
        written = client.models.export(f"{found.model}:{found.version}", str(path or output), form)
    _tell(options, found, f"{found.model}:{found.version} is in {written}", {"path": written})


@models.command("import")
@click.argument("path")
@click.option("--name", required=True, help="The model that gets a new version.")
@click.option("--signature", metavar="FILE", help="Of an ONNX or .pt2 file: JSON that says what it takes and gives.")
@click.option("--alias", help="Points at the new version.")
@with_options
def import_(options: Options, path: str, name: str, signature: str | None, alias: str | None) -> None:
    """Make a version of an exported folder or HDF5 file, a Hugging Face folder, an ONNX or a .pt2 file.

    Nothing in it is run.
    """
    with connected(options) as client:
        found = client.models.import_(path, name, alias, signature=signature)
    _tell(options, found, f"{found.model}:{found.version}", {"alias": alias})


@models.command()
@click.argument("reference")
@with_options
def delete(options: Options, reference: str) -> None:
    """Delete one version, as in digits:3; its number is never given out again."""
    with connected(options) as client:
        found = client.models.delete(reference)
    _tell(options, found, f"{found.model}:{found.version} is deleted", {"deleted": True})


def _print_version(options: Options, record: VersionRecord) -> None:
    from longshore.producers.cli.views.json_documents import local_time, measured, named, version_document
    from longshore.shared.specs.signature import Signature

    if options.as_json:
        print_json(version_document(record))
        return
    manifest = record.manifest
    signature = Signature.model_validate(manifest["signature"])
    features = [each.name if each.width is None else f"{each.name}[{each.width}]" for each in signature.features]
    lineage = manifest.get("lineage")
    print_fields(
        {
            "version": named(record.model, record.version),
            "aliases": ", ".join(sorted(record.aliases)),
            "runtime": manifest.get("runtime"),
            "family": manifest.get("family"),
            "config": to_json(manifest["config"]) if "config" in manifest else None,
            "reads": ", ".join(features),
            "predicts": f"{signature.target} ({signature.task})",
            "labels": None if signature.labels is None else ", ".join(map(str, signature.labels)),
            "metrics": measured(manifest.get("metrics")),
            "job": record.job_id or (lineage.get("job") if isinstance(lineage, Mapping) else None),
            "digest": record.digest,
            "made": local_time(record.created_at),
        }
    )


def _tell(options: Options, record: VersionRecord, line: str, more: Mapping[str, object]) -> None:
    """What was done to a version."""
    if options.as_json:
        print_json({"model": record.model, "version": record.version, "digest": record.digest, **more})
    else:
        sys.stdout.write(f"{line}\n")
