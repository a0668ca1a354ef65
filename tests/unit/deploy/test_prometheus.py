"""The alert rules and the dashboard of deploy/, checked by promtool, and their metrics against the documentation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import cast

import yaml

from tests.compose_file import ROOT
from tests.promtool import promtool

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "longshore.json"
PAGE = ROOT / "docs" / "how-to" / "metrics.md"
_METRIC = re.compile(r"\blongshore_\w+")
#: What Prometheus appends to the name of a histogram.
_PART_OF_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")


def run(*arguments: str, folder: Path) -> None:
    ended = subprocess.run([promtool(), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def dashboard_expressions() -> list[str]:
    """What the panels ask, with an interval in the place of Grafana's."""
    panels = cast("list[dict[str, list[dict[str, str]]]]", json.loads(DASHBOARD.read_text())["panels"])
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "5m") for expression in asked]


def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    for file in (ALERTS, Path(__file__).with_name("alerts_test.yaml")):
        shutil.copy(file, tmp_path)
    run("check", "rules", "alerts.yaml", folder=tmp_path)
    run("test", "rules", "alerts_test.yaml", folder=tmp_path)


def test_every_expression_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    expressions = dashboard_expressions()
    assert expressions
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run("check", "rules", "rules.yaml", folder=tmp_path)


def test_alerts_and_dashboard_ask_for_metrics_that_are_documented() -> None:
    documented = set(_METRIC.findall(PAGE.read_text()))
    asked = set(_METRIC.findall(ALERTS.read_text() + "\n".join(dashboard_expressions())))
    assert {_PART_OF_HISTOGRAM.sub("", name) for name in asked} - documented == set()


def test_the_panels_have_different_ids_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (column, row)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
