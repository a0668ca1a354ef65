"""What the bar of an import says."""

from __future__ import annotations

from pathlib import Path

from longshore.producers.cli.import_bar import import_bar, import_line
from longshore.producers.models.import_progress import ImportProgress, StepProgress, total_size

GIB = 2**30


def shown(progress: ImportProgress, seconds: float, width: int = 110) -> str:
    return "".join(span.text for span in import_line("chat", progress, seconds).spans(width, ascii_only=True))


def test_a_line_has_bytes_rate_and_the_time_left() -> None:
    line = shown(ImportProgress("store", "model-00002-of-00003.safetensors", 4 * GIB, 16 * GIB), 8.0)
    assert line.startswith("store chat  ###")
    for text in ("4.0 GiB/16.0 GiB", "24s left", "512.0 MiB/s", "running"):
        assert text in line
    ended = shown(ImportProgress("store", "tokenizer.json", 16 * GIB, 16 * GIB), 32.0)
    assert "succeeded" in ended
    assert "left" not in ended
    assert shown(ImportProgress("read", "a", 0, GIB), 0.0)


def test_bytes_of_all_files_are_counted(tmp_path: Path) -> None:
    for name, size in (("a", 3), ("b", 5)):
        (tmp_path / name).write_bytes(bytes(size))
    assert total_size([tmp_path / "a", tmp_path / "b", tmp_path / "none"]) == 8
    seen: list[ImportProgress] = []
    step = StepProgress(seen.append, "read", 8)
    step.of("a")(3)
    advance = step.of("b")
    advance(1)
    advance(4)
    assert [(each.file, each.done, each.total) for each in seen] == [("a", 3, 8), ("b", 4, 8), ("b", 8, 8)]
    StepProgress(None, "read", 8).of("a")(3)


def test_nothing_is_shown_where_nobody_watches() -> None:
    with import_bar("chat", enabled=False) as show:
        show(ImportProgress("read", "a", GIB, GIB))
