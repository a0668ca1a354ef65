"""compose.yaml and deploy/: well formed, and closed where they have to be."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from longshore.broker.embedded.plan import WORKERS_GRACE_S
from longshore.workers.process.settings import DEFAULT_GRACE_S
from longshore.workers.process.supervisor import STOP_MARGIN_S
from tests import compose_file
from tests.compose_file import COMPOSE_FILE, ROOT, Service

COMPOSE = compose_file.load()
OURS = {name: service for name, service in COMPOSE.services.items() if service.build}
WORKERS = {name: service for name, service in OURS.items() if name.startswith("worker-")}
#: Those that end by themselves.
ONCE = {"migrate", "operator"}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def check_schema(file: Path) -> int:
    """Of the compose specification, as it comes with check-jsonschema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_it_follows_the_compose_specification(tmp_path: Path) -> None:
    assert check_schema(COMPOSE_FILE) == 0
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.text.replace("stop_grace_period: 60s", "stop_grace: 60s"))
    assert check_schema(wrong) == 1


def test_so_does_what_the_docs_add_to_it(tmp_path: Path) -> None:
    added = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "how-to" / "deployment.md").read_text(), re.DOTALL)
    assert len(added) == 3
    for number, text in enumerate(added):
        file = tmp_path / f"{number}.yaml"
        # A word to compose alone, which no other reader of YAML knows.
        file.write_text(text.replace(" !override", ""))
        assert check_schema(file) == 0
        assert set(yaml.safe_load(file.read_text())["services"]) <= {*COMPOSE.services, "worker-gpu-1"}


def test_what_there_is() -> None:
    assert set(OURS) == {*ONCE, "relay", "flower", "gateway", *WORKERS}
    assert set(COMPOSE.services) == {"redis", "postgres", *OURS}
    assert {profile for worker in WORKERS.values() for profile in worker.profiles} == {"cpu", "gpu"}
    others = {name: service for name, service in COMPOSE.services.items() if name not in WORKERS}
    assert [name for name, service in others.items() if service.profiles] == ["operator"]


@pytest.mark.parametrize("name", list(COMPOSE.services))
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = COMPOSE.services[name]
    assert service.read_only
    assert service.init
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert service.restart == ("no" if name in ONCE else "unless-stopped")
    assert service.user not in ("root", "0")
    assert service.user or service.build, "the image's own user is root"


@pytest.mark.parametrize("name", list(COMPOSE.services))
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", COMPOSE.services[name].image)


def test_nothing_is_published_but_flower_and_the_gateway_on_loopback() -> None:
    assert {name: service.ports for name, service in COMPOSE.services.items() if service.ports} == {
        "flower": ["127.0.0.1:5555:5555"],
        "gateway": ["127.0.0.1:8080:8080"],
    }
    assert COMPOSE.networks["longshore"].internal
    outside = {name for name, service in COMPOSE.services.items() if "outside" in service.networks}
    assert outside == {"flower", "gateway", "operator", "relay", *WORKERS}


@pytest.mark.parametrize("name", list(COMPOSE.services))
def test_passwords_come_from_secrets_and_only_where_they_are_needed(name: str) -> None:
    service = COMPOSE.services[name]
    files = {value for key, value in service.environment.items() if "PASSWORD" in key}
    files |= {argument.rpartition(":")[2] for argument in service.command if argument.startswith("--login=")}
    assert all(key.endswith("_FILE") for key in service.environment if "PASSWORD" in key)
    if name == "redis":
        files = {"/run/secrets/redis_password"}
    assert files == {f"/run/secrets/{secret}" for secret in service.secrets}
    assert not re.search(r"://[^/@]*:[^/@]*@", " ".join([*service.environment.values(), *service.command]))


def test_each_service_logs_in_with_its_own_role_and_only_migrate_as_the_superuser() -> None:
    users = {name: urlsplit(service.environment["LONGSHORE_DATABASE_URL"]).username for name, service in OURS.items()}
    workers = dict.fromkeys(WORKERS, "worker")
    roles = {"relay": "relay", "flower": "monitor", "gateway": "gateway", "operator": "operator"}
    assert users == {"migrate": "longshore", **roles, **workers}
    logins = [argument.split("=")[1].split(":") for argument in OURS["migrate"].command if "--login" in argument]
    assert {name: role for role, name, _ in logins} == {
        name: name for name in ("producer", "operator", "worker", "relay", "monitor", "gateway")
    }
    assert all(file == f"/run/secrets/postgres_{name}_password" for _, name, file in logins)


def test_what_is_named_is_declared() -> None:
    for service in COMPOSE.services.values():
        assert {volume.split(":")[0] for volume in service.volumes} <= set(COMPOSE.volumes)
        assert set(service.secrets) <= set(COMPOSE.secrets)
        assert set(service.networks) <= set(COMPOSE.networks)
        assert set(service.depends_on) <= set(COMPOSE.services)


def test_what_must_survive_is_in_volumes() -> None:
    services = COMPOSE.services
    assert services["redis"].volumes == ["redis:/data"]
    assert services["postgres"].volumes == ["postgres:/var/lib/postgresql"]
    for worker in WORKERS.values():
        assert "store:/var/lib/longshore/store" in worker.volumes
        assert worker.environment["LONGSHORE_STORE"] == "file:///var/lib/longshore/store"


@pytest.mark.parametrize("name", list(OURS))
def test_ours_start_after_what_they_need(name: str) -> None:
    waits_for = {other: dependency.condition for other, dependency in OURS[name].depends_on.items()}
    if name == "migrate":
        assert waits_for == {"postgres": "service_healthy"}
    else:
        assert waits_for == {
            "redis": "service_healthy",
            "postgres": "service_healthy",
            "migrate": "service_completed_successfully",
        }


def test_what_runs_on_has_a_health_check() -> None:
    assert {name for name, service in COMPOSE.services.items() if service.healthcheck is None} == ONCE


def test_workers_have_time_to_hand_back_what_they_run() -> None:
    for worker in WORKERS.values():
        assert worker.grace >= WORKERS_GRACE_S
        assert worker.grace > DEFAULT_GRACE_S + STOP_MARGIN_S


def test_each_gpu_worker_has_one_gpu_of_its_own() -> None:
    gpu_workers = [worker for worker in WORKERS.values() if worker.profiles == ["gpu"]]
    taken = [device for worker in gpu_workers for device in reserved(worker)]
    assert len(taken) == len(set(taken)) == len(gpu_workers) > 0
    for worker in gpu_workers:
        assert worker.command == ["longshore", "worker", "--devices", "cuda:0"]
    assert all(worker.deploy is None for worker in WORKERS.values() if worker.profiles == ["cpu"])


def reserved(worker: Service) -> list[str]:
    assert worker.deploy is not None
    (device,) = worker.deploy.resources.reservations.devices
    assert device.driver == "nvidia"
    assert {"gpu", "compute", "utility"} <= set(device.capabilities)
    return device.device_ids


def test_one_image_is_built_in_one_way() -> None:
    ways = {(service.image, repr(service.build)) for service in OURS.values()}
    assert len(ways) == len({image for image, _ in ways}) == 3
    for service in OURS.values():
        assert service.build is not None
        assert (ROOT / service.build.context / service.build.dockerfile).is_file()
        assert re.search(rf"^FROM \S+ AS {service.build.target}$", DOCKERFILE, re.MULTILINE)
        assert all(re.search(rf"^ARG {name}=", DOCKERFILE, re.MULTILINE) for name in service.build.args)
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    assert {service.image.split(":")[1].split("-")[0] for service in OURS.values()} == {version}


def test_the_final_images_are_made_of_the_runtime_alone() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    heads = {stage.split()[2]: stage for stage in stages}
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert heads["runtime"].startswith("${PYTHON_IMAGE} AS")
    assert re.search(r"^USER 10001:10001$", heads["runtime"], re.MULTILINE)
    assert "pip" not in heads["runtime"]
    for target in ("services", "worker"):
        assert heads[target].startswith("runtime AS")
        lines = [line for line in heads[target].splitlines()[1:] if line]
        assert lines[-1] == f"COPY --from=build-{target} /opt/longshore/venv /opt/longshore/venv"
        # LightGBM needs a library of the system, and nothing else does.
        assert re.findall(r"apt-get install \S+ \S+ (.*?) &&", heads[target]) == ["libgomp1"] * (target == "worker")
        users = [line.split()[1] for line in lines if line.startswith("USER")]
        assert users[-1:] in ([], ["10001:10001"]), "the image's own user is root"
    assert DOCKERFILE.count("apt-get install") == 1


def test_the_image_of_workers_has_what_the_families_and_searches_need() -> None:
    (extras,) = re.findall(r'pip install -c constraints.txt "\.\[(monitor,worker,[\w,]+)\]"', DOCKERFILE)
    assert {"huggingface", "images", "lightgbm", "onnx", "text", "tune"} <= set(extras.split(","))


def test_the_build_gets_what_it_copies_and_no_secret() -> None:
    copied = [path for line in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()]
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(copied)
    assert all((ROOT / path).exists() for path in copied)


def test_secrets_are_made_once_and_closed(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = ["sh", str(ROOT / "deploy" / "make-secrets.sh"), str(folder)]
    subprocess.run(command, check=True)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert {f"deploy/secrets/{name}" for name in made} == {secret.file for secret in COMPOSE.secrets.values()}
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in made.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o444}

    (folder / "redis_password").chmod(0o600)
    (folder / "redis_password").write_text("chosen")
    (folder / "flower_password").unlink()
    subprocess.run(command, check=True)
    again = {file.name: file.read_text() for file in folder.iterdir()}
    assert (again["redis_password"], again["postgres_password"]) == ("chosen", made["postgres_password"])
    assert again["flower_password"] not in made.values()
