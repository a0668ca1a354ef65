"""A training job as a self-contained HTML page, without scripts, fonts or images from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from longshore.producers.reporting.atomic_write import atomic_write
from longshore.producers.reporting.best_epoch import BestEpoch, best_epoch, final_metrics_line
from longshore.producers.reporting.confusion_matrix import ConfusionTable, parse_confusion_matrix
from longshore.producers.reporting.curves import Panel, panels
from longshore.producers.reporting.given_options import given_options
from longshore.producers.reporting.human import duration_text, metrics_line
from longshore.producers.reporting.plots import svg
from longshore.producers.reporting.progress import progress_of
from longshore.shared.ledger.records import JobRecord, MetricRecord, VersionRecord

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
table { display: block; max-width: 100%; overflow-x: auto }
td, th { padding: .2rem .6rem; border: 1px solid #ddd; text-align: left; vertical-align: top }
td.n { text-align: right; white-space: nowrap } code { overflow-wrap: anywhere } svg { max-width: 100%; height: auto }
tr.best td { background: #e8f4e8; font-weight: 600 } ul { margin: 0; padding-left: 1.2rem }
summary { cursor: pointer; margin: .6rem 0 }
"""
#: A confusion matrix of more classes is not shown as a table, because nobody could read it.
_MAX_CLASSES = 50


def save_report(
    path: str | Path,
    record: JobRecord,
    version: VersionRecord | None,
    metrics: Sequence[MetricRecord],
    errors: Sequence[str],
) -> Path:
    """Write the page that :func:`report_html` returns to a file.

    :raises InvalidInput: the file cannot be written, or matplotlib is not installed.
    """
    target = Path(path).expanduser()
    page = report_html(record, version, metrics, errors)
    with atomic_write(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def report_html(
    record: JobRecord, version: VersionRecord | None, metrics: Sequence[MetricRecord], errors: Sequence[str]
) -> str:
    """The page: state and result of the job, notes, curves, metrics, confusion matrix, options and lineage.

    :param version: the version that the job created; ``None`` if it created none.
    :param errors: error messages.
    :raises InvalidInput: matplotlib is not installed.
    """
    metric_panels = panels(metrics)
    matrix = parse_confusion_matrix(record.outcome or {})
    best = best_epoch(record, metrics)
    marked = None if best is None else best.epoch
    sections = [
        ("Job", _fields(_job_fields(record, best))),
        ("Notes", _notes(record.notes)),
        ("Curves", svg(metric_panels, marked) if metric_panels else ""),
        ("Metrics by epoch", _epochs(metric_panels, marked)),
        ("Confusion matrix", "" if matrix is None else _matrix(matrix)),
        ("Errors", "".join(f"<p>{escape(error)}</p>" for error in errors)),
        ("Options", _options(record)),
        ("Lineage", "" if version is None else _fields(_lineage(version))),
    ]
    title = escape(f"{record.model}: {record.kind} job {record.id}")
    body = "\n".join(f"<h2>{name}</h2>\n{content}" for name, content in sections if content)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def _job_fields(record: JobRecord, best: BestEpoch | None) -> dict[str, object]:
    outcome = record.outcome or {}
    version = f"{record.model}:{outcome['version']}" if "version" in outcome else None
    progress = progress_of(record)
    return {
        "state": record.state,
        "error": record.error,
        "version": version,
        "metrics": metrics_line(outcome.get("metrics")),
        "best epoch": None if best is None else best.text,
        "final metrics": final_metrics_line(outcome),
        "duration": duration_text(progress.seconds) if record.started_at is not None else None,
        "producer": record.producer,
        "submitted": record.created_at.isoformat(timespec="seconds"),
        "started": None if record.started_at is None else record.started_at.isoformat(timespec="seconds"),
        "ended": None if record.finished_at is None else record.finished_at.isoformat(timespec="seconds"),
    }


def _notes(notes: Sequence[str]) -> str:
    items = "\n".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>\n{items}\n</ul>" if items else ""


def _options(record: JobRecord) -> str:
    """The options of the job: those that were given, and the defaults folded."""
    given, others = given_options(record)
    defaults = {name: value for name, value in _flat(others).items() if _is_shown(value)}
    folded = f"<details>\n<summary>{len(defaults)} defaults</summary>\n{_fields(defaults)}\n</details>"
    return _fields(_flat(given)) + (folded if defaults else "")


def _lineage(version: VersionRecord) -> dict[str, object]:
    manifest = version.manifest
    lineage = manifest.get("lineage")
    origin = dict(lineage) if isinstance(lineage, dict) else {}
    # Other sections show these already.
    for shown in ("spec", "training", "notes"):
        origin.pop(shown, None)
    about: dict[str, object] = {
        key: manifest[key] for key in ("runtime", "family", "weights", "created_at") if key in manifest
    }
    return _flat({"version": f"{version.model}:{version.version}", "digest": version.digest, **about, **origin})


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings: ``{"data": {"uri": ...}}`` becomes ``{"data.uri": ...}``."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _fields(values: Mapping[str, object]) -> str:
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td><code>{escape(_text(value))}</code></td></tr>"
        for name, value in values.items()
        if _is_shown(value)
    )
    return f"<table>\n{rows}\n</table>"


def _is_shown(value: object) -> bool:
    return value not in (None, "", [], ())


def _epochs(metric_panels: Sequence[Panel], best: int | None) -> str:
    curves = [curve for panel in metric_panels if panel.axis == "epoch" for curve in panel.curves]
    if not curves:
        return ""
    by_epoch = [dict(zip(curve.steps, curve.values, strict=True)) for curve in curves]
    head = "".join(f"<th>{escape(curve.name)}</th>" for curve in curves)
    lines = "\n".join(
        (f'<tr class="best"><td class="n">{epoch} (best)</td>' if epoch == best else f'<tr><td class="n">{epoch}</td>')
        + "".join(f'<td class="n">{_text(values.get(epoch, ""))}</td>' for values in by_epoch)
        + "</tr>"
        for epoch in sorted({epoch for values in by_epoch for epoch in values})
    )
    return f"<table>\n<tr><th>epoch</th>{head}</tr>\n{lines}\n</table>"


def _matrix(matrix: ConfusionTable) -> str:
    if len(matrix.labels) > _MAX_CLASSES:
        return f"<p>{len(matrix.labels)} classes are too many for a table; see the job's outcome.</p>"
    head = "".join(f"<th>{escape(label)}</th>" for label in matrix.labels)
    lines = "\n".join(
        f"<tr><th>{escape(label)}</th>" + "".join(_cell(count, sum(counts)) for count in counts) + "</tr>"
        for label, counts in zip(matrix.labels, matrix.counts, strict=True)
    )
    note = "<p>Rows: target. Columns: prediction.</p>"
    return f"{note}\n<table>\n<tr><th></th>{head}</tr>\n{lines}\n</table>"


def _cell(count: int, total: int) -> str:
    """A cell, shaded by its share of the target class."""
    return f'<td class="n" style="background: rgb(70 130 200 / {count / max(total, 1):.2f})">{count}</td>'


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
