"""A training job as one HTML page that needs nothing beside it: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from longshore.producers.reporting.atomic_write import replacing
from longshore.producers.reporting.confusion_matrix import Confusion, find_confusion
from longshore.producers.reporting.curves import Panel, panels
from longshore.producers.reporting.plots import svg
from longshore.producers.reporting.redaction import public_spec
from longshore.shared.ledger.records import JobRecord, MetricRecord, VersionRecord

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .2rem .6rem; border: 1px solid #ddd; text-align: left; vertical-align: top }
td.n { text-align: right } code { overflow-wrap: anywhere } svg { max-width: 100%; height: auto }
"""
#: Beyond so many classes a table of them all cannot be read.
_MOST_CLASSES = 50


def save_report(
    path: str | Path,
    record: JobRecord,
    version: VersionRecord | None,
    metrics: Sequence[MetricRecord],
    errors: Sequence[str],
) -> Path:
    """Write :func:`report_html` to a file.

    :raises InvalidInput: the file cannot be written, or as there.
    """
    target = Path(path).expanduser()
    page = report_html(record, version, metrics, errors)
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def report_html(
    record: JobRecord, version: VersionRecord | None, metrics: Sequence[MetricRecord], errors: Sequence[str]
) -> str:
    """The page: what came of the job, its curves and numbers, the confusion matrix, configuration and lineage.

    :param version: what the job has made; ``None`` where it has made none.
    :param errors: what went wrong, a sentence each.
    :raises InvalidInput: matplotlib is not installed.
    """
    drawn = panels(metrics)
    confusion = find_confusion(record.outcome or {})
    sections = [
        ("Job", _fields(_about(record))),
        ("Curves", svg(drawn) if drawn else ""),
        ("Metrics by epoch", _epochs(drawn)),
        ("Confusion matrix", "" if confusion is None else _matrix(confusion)),
        ("What went wrong", "".join(f"<p>{escape(error)}</p>" for error in errors)),
        ("Configuration", _fields(_flat(public_spec(record)))),
        ("Lineage", "" if version is None else _fields(_lineage(version))),
    ]
    title = escape(f"{record.model}: {record.kind} job {record.id}")
    body = "\n".join(f"<h2>{name}</h2>\n{content}" for name, content in sections if content)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _about(record: JobRecord) -> dict[str, object]:
    outcome = record.outcome or {}
    made = f"{record.model}:{outcome['version']}" if "version" in outcome else None
    measured = outcome.get("metrics")
    return {
        "state": record.state,
        "error": record.error,
        "made": made,
        "notes": "; ".join(record.notes),
        "producer": record.producer,
        "submitted": record.created_at.isoformat(timespec="seconds"),
        "started": None if record.started_at is None else record.started_at.isoformat(timespec="seconds"),
        "ended": None if record.finished_at is None else record.finished_at.isoformat(timespec="seconds"),
        **(measured if isinstance(measured, dict) else {}),
    }


def _lineage(version: VersionRecord) -> dict[str, object]:
    manifest = version.manifest
    lineage = manifest.get("lineage")
    known = dict(lineage) if isinstance(lineage, dict) else {}
    # The configuration stands above already.
    known.pop("spec", None)
    kept: dict[str, object] = {
        key: manifest[key] for key in ("runtime", "family", "weights", "created_at") if key in manifest
    }
    return _flat({"version": f"{version.model}:{version.version}", "digest": version.digest, **kept, **known})


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one: ``{"data": {"uri": ...}}`` becomes ``data.uri``."""
    found: dict[str, object] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _fields(values: Mapping[str, object]) -> str:
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(_text(value))}</code></td></tr>"
        for name, value in values.items()
        if value not in (None, "", [], ())
    )
    return f"<table>\n{rows}\n</table>"


def _epochs(drawn: Sequence[Panel]) -> str:
    curves = [curve for panel in drawn if panel.axis == "epoch" for curve in panel.curves]
    if not curves:
        return ""
    by_epoch = [dict(zip(curve.steps, curve.values, strict=True)) for curve in curves]
    head = "".join(f"<th>{escape(curve.name)}</th>" for curve in curves)
    lines = "\n".join(
        f'<tr><td class="n">{epoch}</td>'
        + "".join(f'<td class="n">{_text(values.get(epoch, ""))}</td>' for values in by_epoch)
        + "</tr>"
        for epoch in sorted({epoch for values in by_epoch for epoch in values})
    )
    return f"<table>\n<tr><th>epoch</th>{head}</tr>\n{lines}\n</table>"


def _matrix(confusion: Confusion) -> str:
    if len(confusion.labels) > _MOST_CLASSES:
        return f"<p>{len(confusion.labels)} classes are too many for a table; see the job's outcome.</p>"
    head = "".join(f"<th>{escape(label)}</th>" for label in confusion.labels)
    lines = "\n".join(
        f"<tr><th>{escape(label)}</th>" + "".join(_cell(count, sum(counts)) for count in counts) + "</tr>"
        for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    )
    note = "<p>Rows: the true class; columns: the predicted one.</p>"
    return f"{note}\n<table>\n<tr><th></th>{head}</tr>\n{lines}\n</table>"


def _cell(count: int, total: int) -> str:
    """Shaded by its share of the true class."""
    return f'<td class="n" style="background: rgb(70 130 200 / {count / max(total, 1):.2f})">{count}</td>'


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
