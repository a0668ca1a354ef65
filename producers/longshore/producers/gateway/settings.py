"""The settings of the gateway, from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from longshore.broker.webhooks.settings import NO_WEBHOOK_SETTINGS, WebhookSettings, load_webhook_settings
from longshore.shared.errors import InvalidInput

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """How the gateway serves.

    :param max_body_bytes: the longest body of a request, but for uploads of files.
    :param max_upload_bytes: the size of a file that is uploaded.
    :param max_batch_bytes: the size of the input of a batch.
    :param max_batch_requests: lines in the input of a batch.
    :param file_quota_bytes: of all files of a producer together.
    :param batch_lease_s: seconds after which another gateway takes over the batches of one that has died.
    :param max_bodies_bytes: bytes of all bodies that are in memory at once.
    :param max_requests: requests in progress at once.
    :param max_waiting: requests that wait for one of these to end.
    :param admission_s: seconds that a request waits for it, at most.
    :param max_connections: open connections.
    :param headers_s: seconds for the headers of a request, from its first byte.
    :param idle_s: seconds that a connection is kept without a request.
    :param body_s: seconds for the body of a request, besides one for each 16 KiB.
    :param write_s: seconds that a caller may take no byte of an answer.
    :param shutdown_s: seconds to finish requests after SIGTERM.
    :param ready_s: seconds for each check of ``/readyz``.
    :param predict_timeout_s: seconds that a caller waits for the outputs of a prediction, at most.
    :param answer_timeout_s: seconds that a caller waits for an answer of OpenAI's API that is not streamed, at most.
    :param tls_certificate: a file with the certificate and those of its issuers, in PEM; ``None`` for no TLS.
    :param tls_key: the file with its key.
    :param cors_origins: origins of pages that may call, such as ``https://app.example.org``; empty for none.
    :param data: folders and prefixes of the files that callers may name, such as ``s3://bucket/``; empty for none.
    :param webhooks: where webhooks may lead.
    """

    max_body_bytes: int = 16 << 20
    max_upload_bytes: int = 512 << 20
    max_batch_bytes: int = 200 << 20
    max_batch_requests: int = 50_000
    file_quota_bytes: int = 100 << 30
    batch_lease_s: float = 30.0
    max_bodies_bytes: int = 256 << 20
    max_requests: int = 1024
    max_waiting: int = 1024
    admission_s: float = 5.0
    max_connections: int = 4096
    headers_s: float = 10.0
    idle_s: float = 30.0
    body_s: float = 30.0
    write_s: float = 30.0
    shutdown_s: float = 10.0
    ready_s: float = 3.0
    predict_timeout_s: float = 30.0
    answer_timeout_s: float = 600.0
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    cors_origins: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    webhooks: WebhookSettings = NO_WEBHOOK_SETTINGS


def load_gateway_settings(environ: Mapping[str, str] = os.environ) -> GatewaySettings:
    """:raises InvalidInput: a variable has a wrong value."""
    default = GatewaySettings()

    def count(variable: str, value: int) -> int:
        return _read(environ, variable, _count) or value

    def seconds(variable: str, value: float) -> float:
        return _read(environ, variable, _seconds) or value

    certificate = _read(environ, "LONGSHORE_GATEWAY_TLS_CERTIFICATE", _file)
    key = _read(environ, "LONGSHORE_GATEWAY_TLS_KEY", _file)
    if (certificate is None) != (key is None):
        missing = "LONGSHORE_GATEWAY_TLS_KEY" if key is None else "LONGSHORE_GATEWAY_TLS_CERTIFICATE"
        raise InvalidInput(missing, "not set; set both the certificate and its key, or neither")
    return GatewaySettings(
        max_body_bytes=count("LONGSHORE_GATEWAY_MAX_BODY_BYTES", default.max_body_bytes),
        max_upload_bytes=count("LONGSHORE_GATEWAY_MAX_UPLOAD_BYTES", default.max_upload_bytes),
        max_batch_bytes=count("LONGSHORE_GATEWAY_MAX_BATCH_BYTES", default.max_batch_bytes),
        max_batch_requests=count("LONGSHORE_GATEWAY_MAX_BATCH_REQUESTS", default.max_batch_requests),
        file_quota_bytes=count("LONGSHORE_GATEWAY_FILE_QUOTA_BYTES", default.file_quota_bytes),
        batch_lease_s=seconds("LONGSHORE_GATEWAY_BATCH_LEASE_S", default.batch_lease_s),
        max_bodies_bytes=count("LONGSHORE_GATEWAY_MAX_BODIES_BYTES", default.max_bodies_bytes),
        max_requests=count("LONGSHORE_GATEWAY_MAX_REQUESTS", default.max_requests),
        max_waiting=count("LONGSHORE_GATEWAY_MAX_WAITING", default.max_waiting),
        admission_s=seconds("LONGSHORE_GATEWAY_ADMISSION_S", default.admission_s),
        max_connections=count("LONGSHORE_GATEWAY_MAX_CONNECTIONS", default.max_connections),
        headers_s=seconds("LONGSHORE_GATEWAY_HEADERS_S", default.headers_s),
        idle_s=seconds("LONGSHORE_GATEWAY_IDLE_S", default.idle_s),
        body_s=seconds("LONGSHORE_GATEWAY_BODY_S", default.body_s),
        write_s=seconds("LONGSHORE_GATEWAY_WRITE_S", default.write_s),
        shutdown_s=seconds("LONGSHORE_GATEWAY_SHUTDOWN_S", default.shutdown_s),
        ready_s=seconds("LONGSHORE_GATEWAY_READY_S", default.ready_s),
        predict_timeout_s=seconds("LONGSHORE_GATEWAY_PREDICT_TIMEOUT_S", default.predict_timeout_s),
        answer_timeout_s=seconds("LONGSHORE_GATEWAY_ANSWER_TIMEOUT_S", default.answer_timeout_s),
        tls_certificate=certificate,
        tls_key=key,
        cors_origins=_read(environ, "LONGSHORE_GATEWAY_CORS_ORIGINS", _origins) or (),
        data=_read(environ, "LONGSHORE_GATEWAY_DATA", _folders) or (),
        webhooks=load_webhook_settings(environ),
    )


#: More than any sensible value, so that a mistake is seen.
_MAX_COUNT: Final = 1 << 40
_MAX_SECONDS: Final = 86_400.0


def _read(environ: Mapping[str, str], variable: str, parse: Callable[[str, str], Value]) -> Value | None:
    text = environ.get(variable, "").strip()
    return parse(variable, text) if text else None


def _count(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:16]) <= _MAX_COUNT and len(text) <= 16):
        raise InvalidInput(variable, f"{text!r}: write a whole number from 1 to {_MAX_COUNT}")
    return int(text)


def _seconds(variable: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= _MAX_SECONDS:
        raise InvalidInput(variable, f"{text!r}: write seconds, above 0 and at most {_MAX_SECONDS:.0f}")
    return value


def _file(variable: str, text: str) -> Path:
    try:
        with Path(text).open("rb"):
            return Path(text)
    except OSError as error:
        raise InvalidInput(variable, f"{text}: {error.strerror}; name a file that the gateway can read") from None


def _folders(variable: str, text: str) -> tuple[str, ...]:
    folders = tuple(part.strip() for part in text.split(",") if part.strip())
    for folder in folders:
        if "://" not in folder and not Path(folder).is_absolute():
            raise InvalidInput(variable, f"{folder!r}: write whole paths or URIs, such as /data or s3://bucket/rows")
    return folders


def _origins(variable: str, text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or f"{parts.scheme}://{parts.netloc}" != origin:
            raise InvalidInput(
                variable, f"{origin!r}: write origins with commas between, such as https://app.example.org"
            )
    return origins
