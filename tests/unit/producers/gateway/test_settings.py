from __future__ import annotations

from pathlib import Path

import pytest

from longshore.producers.gateway.settings import GatewaySettings, load_gateway_settings
from longshore.shared.errors import InvalidInput


def test_nothing_set_is_the_default() -> None:
    assert load_gateway_settings({"LONGSHORE_GATEWAY_MAX_REQUESTS": " "}) == GatewaySettings()


def test_what_is_set_counts(tmp_path: Path) -> None:
    for name in ("server.pem", "server.key"):
        (tmp_path / name).touch()
    settings = load_gateway_settings(
        {
            "LONGSHORE_GATEWAY_MAX_REQUESTS": "7",
            "LONGSHORE_GATEWAY_BODY_S": "0.5",
            "LONGSHORE_GATEWAY_CORS_ORIGINS": "https://a.example.org, http://localhost:3000",
            "LONGSHORE_GATEWAY_TLS_CERTIFICATE": str(tmp_path / "server.pem"),
            "LONGSHORE_GATEWAY_TLS_KEY": str(tmp_path / "server.key"),
        }
    )
    assert settings == GatewaySettings(
        max_requests=7,
        body_s=0.5,
        cors_origins=("https://a.example.org", "http://localhost:3000"),
        tls_certificate=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_REQUESTS", "0"),
        ("MAX_REQUESTS", "-1"),
        ("MAX_REQUESTS", "1e3"),
        ("MAX_REQUESTS", "٣"),
        ("MAX_BODY_BYTES", "9" * 5000),
        ("BODY_S", "nan"),
        ("BODY_S", "0"),
        ("BODY_S", "inf"),
        ("BODY_S", "soon"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://a.example.org/"),
        ("TLS_CERTIFICATE", "/none.pem"),
    ],
)
def test_wrong_values_are_refused_with_the_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"^LONGSHORE_GATEWAY_{name}: "):
        load_gateway_settings({f"LONGSHORE_GATEWAY_{name}": value})


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    (tmp_path / "server.pem").touch()
    with pytest.raises(InvalidInput, match=r"^LONGSHORE_GATEWAY_TLS_KEY: not set"):
        load_gateway_settings({"LONGSHORE_GATEWAY_TLS_CERTIFICATE": str(tmp_path / "server.pem")})
