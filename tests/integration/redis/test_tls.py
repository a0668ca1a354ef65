"""TLS to a real Redis: the certificate is verified by redis-py and by kombu, without any option."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from longshore.broker.app import make_app
from longshore.broker.publishing import send
from longshore.broker.redis_address import parse_redis_url
from longshore.broker.redis_errors import RedisUnavailable, redis_errors
from longshore.broker.tickets import Message
from longshore.shared.ledger.jobs.submission import tickets_of
from longshore.shared.settings import Settings
from tests.integration.certificates import write_certificates
from tests.integration.queued import message_count, train_jobs
from tests.own_redis import OwnRedis, require_tls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("own", "other"):
        (folder / name).mkdir()
        write_certificates(folder / name)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[OwnRedis]:
    own = folder / "own"
    options = ["--tls-cert-file", str(own / "server.pem"), "--tls-key-file", str(own / "server.key")]
    options += ["--tls-ca-cert-file", str(own / "ca.pem"), "--tls-auth-clients", "no"]
    with OwnRedis(folder, *options, program=require_tls(), tls=True) as server:
        yield server


def publish(url: str) -> int:
    """Publish a ticket, and look at the queue with redis-py. Returns how many there are."""
    settings = Settings(redis_url=url, database_url="", store="", producer="tests")
    app = make_app(settings)
    try:
        send(app, [Message(tuple(tickets_of(train_jobs(1))))])
        with redis_errors():
            return message_count(app)
    finally:
        app.close()


def ping(url: str) -> bool:
    with redis_errors(), parse_redis_url(url).client() as client:
        return bool(client.ping())


def test_the_right_authority_is_accepted(server: OwnRedis, folder: Path) -> None:
    url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={folder / 'own' / 'ca.pem'}"
    assert ping(url)
    assert publish(url) == 1


@pytest.mark.parametrize("options", ["", "?ssl_ca_certs={folder}/other/ca.pem"])
def test_another_authority_is_refused_on_both_sides(server: OwnRedis, folder: Path, options: str) -> None:
    url = f"rediss://127.0.0.1:{server.port}/0{options.format(folder=folder)}"
    for connect in (ping, publish):
        with pytest.raises(RedisUnavailable, match="certificate of Redis is not valid here"):
            connect(url)


def test_the_name_of_the_host_is_verified(server: OwnRedis, folder: Path) -> None:
    url = f"rediss://localhost:{server.port}/0?ssl_ca_certs={folder / 'own' / 'ca.pem'}"
    for connect in (ping, publish):
        with pytest.raises(RedisUnavailable, match="certificate of Redis is not valid here"):
            connect(url)


def test_verification_can_be_switched_off(server: OwnRedis) -> None:
    url = f"rediss://127.0.0.1:{server.port}/1?ssl_cert_reqs=none"
    assert ping(url)
    assert publish(url) == 1


def test_a_server_without_tls_is_no_server_with_tls(tmp_path: Path, services: Settings) -> None:
    plain = replace(services, redis_url=services.redis_url.replace("redis://", "rediss://"))
    with pytest.raises(RedisUnavailable):
        publish(plain.redis_url)
