"""``compose.yaml`` as values, as far as the tests look at it. What compose itself would read is left unread."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

ROOT = Path(__file__).resolve().parents[1]
COMPOSE_FILE = ROOT / "compose.yaml"
#: ``$$`` or ``${NAME:-default}``; nothing else is used in the file.
_VARIABLE = re.compile(r"\$(?:(\$)|\{\w+:-([^}]*)\})")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Build(_Part):
    context: str
    dockerfile: str
    target: str
    args: dict[str, str] = {}


class HealthCheck(_Part):
    test: list[str]


class Dependency(_Part):
    condition: str


class Device(_Part):
    driver: str
    device_ids: list[str]
    capabilities: list[str]


class Reservations(_Part):
    devices: list[Device]


class Resources(_Part):
    reservations: Reservations


class Deploy(_Part):
    resources: Resources


class Service(_Part):
    """One service, its defaults written out."""

    image: str
    command: list[str]
    build: Build | None = None
    user: str | None = None
    profiles: list[str] = []
    environment: dict[str, str] = {}
    secrets: list[str] = []
    volumes: list[str] = []
    networks: list[str]
    ports: list[str] = []
    tmpfs: list[str] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: HealthCheck | None = None
    deploy: Deploy | None = None
    restart: str
    init: bool
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    stop_grace_period: str = "10s"

    @property
    def grace(self) -> float:
        """Seconds between the signal to stop and SIGKILL."""
        return float(self.stop_grace_period.removesuffix("s"))


class Network(_Part):
    internal: bool = False


class Secret(_Part):
    file: str


class ComposeFile(_Part):
    """The whole file."""

    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, dict[str, str]]
    secrets: dict[str, Secret]
    text: str = Field(repr=False)


def load() -> ComposeFile:
    """Read the file, with no variable set."""
    text = COMPOSE_FILE.read_text()
    return ComposeFile.model_validate({**_interpolate(yaml.safe_load(text)), "text": text})


def _interpolate(value: object) -> dict[str, object]:
    found = _each(value)
    assert isinstance(found, dict)
    return found


def _each(value: object) -> object:
    """As compose does it: after the YAML was read, in every string."""
    if isinstance(value, dict):
        return {str(key): _each(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_each(inner) for inner in value]
    return _VARIABLE.sub(lambda found: found[1] or found[2], value) if isinstance(value, str) else value
