"""The settings that a supervisor passes to a worker."""

from __future__ import annotations

import pytest

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.process.settings import WorkerSettings


def test_what_a_supervisor_passes_is_what_its_child_reads() -> None:
    settings = WorkerSettings(
        name="cpu:0@host",
        device="cpu",
        threads=2,
        lease=7.5,
        resident_bytes=1000,
        shard_timeout=3.5,
        memory_limit=2000,
        engine_cache_bytes=3000,
        engine_memory_share=0.5,
        engine_requests=16,
        text_save_interval=0.5,
    )
    assert WorkerSettings.load(settings.environment()) == settings
    plain = WorkerSettings(name="cpu:0@host", device="cpu", threads=1)
    assert WorkerSettings.load(plain.environment()) == plain


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("LONGSHORE_ENGINE_CACHE_BYTES", "1.5", "write a whole number above 0"),
        ("LONGSHORE_ENGINE_CACHE_BYTES", "1 GiB", "write a number above 0"),
        ("LONGSHORE_ENGINE_MEMORY_SHARE", "1.1", "at most 1"),
        ("LONGSHORE_ENGINE_MEMORY_SHARE", "0", "write a number above 0"),
        ("LONGSHORE_ENGINE_REQUESTS", "-4", "write a number above 0"),
        ("LONGSHORE_RESIDENT_BYTES", "nan", "write a number above 0"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{name}: '{value}': .*{reason}"):
        WorkerSettings.load({name: value})


def test_a_worker_decides_about_its_memory_before_a_version_does() -> None:
    assert EngineOptions.of_worker(None, None, None) == EngineOptions()
    assert EngineOptions.of_worker(1 << 20, 0.5, 8) == EngineOptions(
        cache_bytes=1 << 20, memory_share=0.5, max_requests=8
    )
