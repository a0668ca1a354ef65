"""``longshore models import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from longshore.producers.cli.completion import complete_version
from longshore.producers.cli.connect import connected
from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.views.version_changes import print_done

if TYPE_CHECKING:
    from longshore.shared.specs.generation_settings import ModelDtype, Quantization
    from longshore.shared.specs.signature import OutputKind


@click.command("import")
@click.argument("path")
@click.option("--name", required=True, help="Model that gets the new version.")
@click.option(
    "--signature", metavar="FILE", help="JSON file that describes inputs and outputs. Only for ONNX and .pt2 files."
)
@click.option("--alias", help="Alias to point at the new version.")
@click.option(
    "--base", metavar="MODEL", shell_complete=complete_version, help="Version that PATH is an adapter of, as chat:1."
)
@click.option("--output", metavar="NAME", help="Output to use of an ONNX file with several.")
@click.option(
    "--output-kind",
    type=click.Choice(["logits", "probabilities", "scores"]),
    help="What the outputs of a classifier are. Default: detected, or logits. Only for ONNX and .pt2 files.",
)
@click.option(
    "--max-model-len",
    type=int,
    metavar="N",
    help="Tokens of prompt and text together, at most. Default: the positions of the network. Like the options below, "
    "only for language models.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    help="Type of the weights and of the computation. Default: chosen by the engine.",
)
@click.option(
    "--quantization",
    type=click.Choice(["fp8", "bitsandbytes"]),
    help="How vLLM quantises the weights while it loads them. Default: not at all.",
)
@click.option(
    "--memory-share",
    type=float,
    metavar="SHARE",
    help="Share of a GPU's memory for weights and cache. Default: that of the worker.",
)
@with_options
def import_(
    options: Options,
    path: str,
    name: str,
    signature: str | None,
    alias: str | None,
    base: str | None,
    output: str | None,
    output_kind: OutputKind | None,
    max_model_len: int | None,
    dtype: ModelDtype | None,
    quantization: Quantization | None,
    memory_share: float | None,
) -> None:
    """Import a version from PATH.

    PATH is an exported folder or HDF5 file, a Hugging Face folder, an ONNX file or a .pt2 file; with --base it is the
    folder of a LoRA adapter, as peft writes it. Nothing in it is executed.

    An import that was interrupted can be repeated: files that are stored already are not copied again.
    """
    settings = {
        "max_model_len": max_model_len,
        "dtype": dtype,
        "quantization": quantization,
        "memory_share": memory_share,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    with connected(options) as client:
        from longshore.producers.cli.import_bar import import_bar

        with import_bar(name) as progress:
            record = client.models.import_(
                path,
                name,
                alias,
                signature=signature,
                base=base,
                output=output,
                output_kind=output_kind,
                generation=given or None,
                progress=progress,
            )
    print_done(options, record, f"{record.model}:{record.version}", {"alias": alias})
