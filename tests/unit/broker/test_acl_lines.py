"""What the ACL file says, without a Redis that reads it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from longshore.broker.acl.lines import acl_lines
from longshore.broker.acl.rights import RedisRole
from longshore.producers.cli.main import run


def test_users_have_digests_and_no_passwords() -> None:
    lines = list(acl_lines({RedisRole.WORKER: ["old", "new"]}, user_prefix="team"))
    assert lines[0] == "user default off"
    [worker] = [line for line in lines if line.startswith("user team-worker on ")]
    assert f" #{sha256(b'old').hexdigest()} #{sha256(b'new').hexdigest()} resetkeys " in worker
    assert not any("#" in line for line in lines if line != worker)
    assert all(line.isprintable() and line.count(" -@all ") == 1 for line in lines[1:])


def test_a_user_without_a_password_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "password").write_text("a secret of mine\n")
    assert run(["redis-acl", "--password-file", f"producer:{tmp_path / 'password'}"]) == 0
    said = capsys.readouterr()
    assert "nobody can sign in as they: worker, relay, gateway, monitor; add --password-file" in said.err
    assert "a secret of mine" not in said.out + said.err
    assert sha256(b"a secret of mine").hexdigest() in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prefix", "a b"], "--prefix: write up to 64 letters"),
        (["--user-prefix", "x on nopass"], "--user-prefix: write up to 40 letters"),
        (["--password-file", "admin:/dev/null"], "write ROLE:FILE, where ROLE is one of producer, worker, relay"),
        (["--password-file", "worker:/nowhere/password"], "--password-file: /nowhere/password: No such file"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["redis-acl", *arguments]) == 2
    assert message in capsys.readouterr().err
