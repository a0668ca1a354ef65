from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from longshore.broker.embedded.files import check_space, home_errors, last_lines, write_private
from longshore.shared.errors import HomeError


def test_a_private_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old and longer")
    path.chmod(0o644)
    (tmp_path / "secret.partial").write_text("of a killed process")

    write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_no_space_left_is_one_clear_line() -> None:
    with (
        pytest.raises(HomeError, match=r"^/some/home: no space is left on the device; free some"),
        home_errors(Path("/some/home")),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_part_of_the_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match=r"file/below: a part of it is a file"), home_errors(tmp_path):
        (tmp_path / "file" / "below").mkdir()


def test_too_little_space_is_told_in_mebibytes(tmp_path: Path) -> None:
    check_space(tmp_path, 1)
    with pytest.raises(HomeError, match=rf"{tmp_path}: \d+ MiB are free and a new home needs {2**40} MiB"):
        check_space(tmp_path, 2**60)


def test_the_end_of_a_log_leaves_out_empty_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == "(no log)"
    log.write_text("".join(f"line {number}\n\n" for number in range(5000)))
    assert last_lines(log, count=2) == "line 4998\nline 4999"
