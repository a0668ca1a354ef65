"""``longshore up``, ``status`` and ``down``, and the demonstration: homes of their own, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from longshore.broker.embedded.home import Home
from longshore.shared.settings import home_folder
from tests.integration.command_line import CommandLine, read_until, stop, without_settings
from tests.integration.homes import folder_for_homes

pytestmark = pytest.mark.slow


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for a home that the user Postgres runs as can reach; what runs in the home is stopped."""
    with folder_for_homes() as folder:
        yield folder


@pytest.fixture
def longshore(place: Path) -> CommandLine:
    return CommandLine({**without_settings(), "LONGSHORE_HOME": str(place / "home")})


def demo_folders() -> set[Path]:
    return set(home_folder(environ={}).parent.glob("longshore-demo-*"))


def processes_of(folder: Path) -> list[psutil.Process]:
    """Processes that were told of a folder: by their arguments or their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in part for part in (*process.cmdline(), process.environ().get("LONGSHORE_HOME", ""))):
                found.append(process)
        except psutil.Error:
            continue  # another user's, or gone
    return found


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_devices_there_are_none_of_are_refused_before_anything_starts(
    longshore: CommandLine, tmp_path: Path, detach: tuple[str, ...]
) -> None:
    for devices, reason in (("banana", "is not understood"), ("cuda:77", "cuda")):
        refused = longshore("up", *detach, "--home", tmp_path / "new", "--devices", devices)
        assert refused.code == 2
        assert "devices: " in refused.err
        assert reason in refused.err
    assert not (tmp_path / "new").exists()


def test_up_in_the_background_status_and_down(longshore: CommandLine, place: Path) -> None:
    home = place / "home"
    up = longshore("up", "--detach", "--no-flower", "--devices", "cpu", "--json").fields
    assert up["home"] == str(home)
    assert "flower" not in up
    assert httpx.get(f"{up['gateway']}/livez").json() == {"status": "ok"}
    secrets = Home(home).load_secrets()

    status = longshore("status", "--json")
    assert status.fields["ready"] is True
    assert status.fields["redis"] == up["redis"]
    services = status.fields["services"]
    assert isinstance(services, list)
    assert {service["name"] for service in services if service["alive"]} == {
        *("redis", "postgres", "relay", "workers", "gateway")
    }
    workers = status.fields["workers"]
    assert isinstance(workers, list)
    assert [(worker["device"], worker["alive"]) for worker in workers] == [("cpu:0", True)]
    alone = longshore()
    assert f"home      {home}\n" in alone.out
    for said in (json.dumps(up), status.out, alone.out):
        for password in (secrets.redis_password, secrets.postgres_password, secrets.flower_password):
            assert password not in said
    assert longshore("status", "--show-password").out == f"{secrets.flower_password}\n"

    again = longshore("up", "--detach")
    assert again.code == 3
    assert again.err.startswith(f"longshore: {home} is already up (pid ")

    assert longshore("down").out == f"stopped the cluster in {home}\n"
    assert longshore("down", "--json").fields == {"home": str(home), "stopped": False}
    gone = longshore("status")
    assert gone.code == 3
    assert f"no cluster is up in {home}" in gone.err


def test_up_says_that_a_worker_does_not_start(place: Path) -> None:
    longshore = CommandLine({**without_settings(), "LONGSHORE_HOME": str(place / "home"), "LONGSHORE_LEASE": "banana"})
    up = longshore("up", "--detach", "--no-flower", "--no-gateway", "--devices", "cpu")
    first, reason = up.out.splitlines()[:2]
    assert first == f"Longshore is up, but 1 worker has not started; see {place / 'home' / 'logs' / 'workers.log'}"
    assert "LONGSHORE_LEASE" in reason
    assert longshore("down").code == 0


def test_up_in_the_foreground_until_ctrl_c(longshore: CommandLine, place: Path) -> None:
    with longshore.start("up", "--devices", "cpu") as process:
        said = read_until(process.stdout, "Stop everything:    Ctrl-C")
        done = stop(process)
    assert done.code == 0
    assert "Longshore is up." in said
    secrets = Home(place / "home").load_secrets()
    assert str(place / "home" / "secrets.json") in said
    assert "longshore status --show-password" in said
    for password in (secrets.redis_password, secrets.postgres_password, secrets.flower_password):
        assert password not in said + done.out + done.err
    assert "postgres | " in done.err
    assert "up       | " in done.err
    assert processes_of(place) == []


def test_the_demonstration(longshore: CommandLine) -> None:
    before = demo_folders()
    done = longshore("demo", timeout=180)
    assert done.code == 0, done.err
    assert done.err == ""
    for said in (
        "1,438 images",
        "digits:1 after",
        "digits@production now points to digits:1",
        "Flower    http://127.0.0.1:",
    ):
        assert said in done.out
    assert "SELECT row, output FROM results WHERE job_id = '" in done.out
    assert '    0 | {"label": "' in done.out
    accuracy = float(done.out.partition(" of the held-out images are classified correctly")[0].split()[-1])
    assert 0.95 <= accuracy <= 1
    assert demo_folders() == before


def test_the_demonstration_can_be_kept_and_repeated(longshore: CommandLine, place: Path) -> None:
    home = place / "home"
    before = demo_folders()
    first = longshore("demo", "--keep", "--json", "--home", home, "--devices", "cpu", timeout=180)
    [data] = demo_folders() - before
    try:
        assert first.fields["kept"] is True
        assert first.fields["home"] == str(home)
        job = str(first.fields["infer_job"])
        assert len(longshore("results", job, "--json").out.splitlines()) == first.fields["rows"] == 359
        again = longshore("infer", "digits@production", data / "digits-held-out.parquet", "--wait")
        assert again.code == 0, again.err

        # In a home that is up it runs there, and leaves it up.
        second = longshore("demo", "--home", home, timeout=180)
        assert second.code == 0, second.err
        assert "digits@production now points to digits:2" in second.out
        assert longshore("status", "--json").fields["ready"] is True
    finally:
        shutil.rmtree(data)
    assert demo_folders() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demonstration_that_is_interrupted_leaves_nothing(
    longshore: CommandLine, number: signal.Signals, code: int
) -> None:
    before = demo_folders()
    with longshore.start("demo", "--devices", "cpu") as process:
        read_until(process.stdout, "Train")
        [folder] = demo_folders() - before
        done = stop(process, number)
    assert done.code == code
    assert demo_folders() == before
    assert processes_of(folder) == []
