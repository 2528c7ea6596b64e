"""Figures for Prometheus: a text that it can read, labels that stay few, names that ops/ uses as they are."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.deliver.bounces import BounceKind
from monitor.meter import BEGIN_AT_ZERO, LABEL_SETS, OTHER, Histogram, Meter, Metric, exposition, gauge
from monitor.model import Level
from monitor.web.health import _stored
from storage import Gauges

ROOT = Path(__file__).parent.parent.parent
NOW = datetime(2026, 11, 24, tzinfo=UTC)
LINE = re.compile(
    r'[a-z_]+(\{[a-z_]+="(\\.|[^"\\\n])*"(,[a-z_]+="(\\.|[^"\\\n])*")*\})? (-?\d+(\.\d+)?(e-?\d+)?|\+Inf)'
)


def everything() -> str:
    meter = Meter()
    for family in meter.families():
        if isinstance(family, Metric) and family.labels:
            family.add(*("x" for _ in family.labels))
    gauges = Gauges(
        waiting=1,
        waiting_since=NOW,
        held=0,
        in_doubt=0,
        notices=dict.fromkeys(Level, 0),
        sources=1,
        last_success=(("news", NOW), ("never", None)),
        newest_success=NOW,
        backed_up_at=NOW,
    )
    here = [gauge(name, "x", 1) for name in ("monitor_database_up", "monitor_data_free_bytes")]
    build = gauge("monitor_build_info", "x", {("1",): 1}, ("version",))
    return exposition([build, *here, *meter.families(), *_stored(gauges)])


def test_every_line_is_one_that_prometheus_reads() -> None:
    text = everything()

    assert text.endswith("\n")
    for line in text.splitlines():
        assert line.startswith(("# HELP monitor_", "# TYPE monitor_")) or LINE.fullmatch(line), line


def test_each_family_is_described_once_before_its_values() -> None:
    names = re.findall(r"# TYPE (\S+) (\S+)", everything())

    assert len({name for name, _ in names}) == len(names)
    for name, kind in names:
        assert (kind == "counter") == name.endswith("_total"), name
        assert name.startswith("monitor_")


def test_the_promised_names_are_there() -> None:
    promised = """monitor_fetch_requests_total monitor_fetch_duration_seconds monitor_articles_stored_total
    monitor_source_last_success_timestamp_seconds monitor_articles_duplicate_total monitor_matches_total
    monitor_match_duration_seconds monitor_job_runs_total monitor_job_last_success_timestamp_seconds
    monitor_digest_messages_total monitor_digest_render_duration_seconds monitor_smtp_queue_messages
    monitor_bounces_total monitor_unsubscribes_total monitor_build_info"""

    assert set(promised.split()) <= set(re.findall(r"# TYPE (\S+)", everything()))


def test_a_hostile_label_stays_in_its_quotes() -> None:
    metric = Metric("monitor_x_total", "counter", "x", ("source",))
    metric.add('a"} 1\nmonitor_y 2\\')

    assert list(metric.lines())[-1] == 'monitor_x_total{source="a\\"} 1\\nmonitor_y 2\\\\"} 1'


def test_labels_beyond_the_limit_count_as_other() -> None:
    metric = Metric("monitor_x_total", "counter", "x", ("source", "outcome"))
    for number in range(LABEL_SETS + 50):
        metric.add(str(number), "ok")
    metric.add("3", "ok")

    assert len(metric.values) == LABEL_SETS + 1
    assert metric.values[OTHER, OTHER] == 50
    assert metric.values["3", "ok"] == 2


def test_buckets_hold_all_that_is_at_most_their_bound() -> None:
    histogram = Histogram("monitor_x_seconds", "x", (0.1, 1))
    for seconds in (0.05, 0.1, 0.5, 7):
        histogram.observe(seconds)

    assert list(histogram.lines())[2:] == [
        'monitor_x_seconds_bucket{le="0.1"} 2',
        'monitor_x_seconds_bucket{le="1"} 3',
        'monitor_x_seconds_bucket{le="+Inf"} 4',
        "monitor_x_seconds_sum 7.65",
        "monitor_x_seconds_count 4",
    ]


def test_a_counter_that_never_counted_is_there_for_the_first_rate() -> None:
    text = exposition(Meter().families())

    assert 'monitor_digest_messages_total{outcome="failed"} 0' in text
    assert "monitor_articles_duplicate_total 0" in text
    assert 'monitor_bounces_total{class="hard"} 0' in text
    assert set(BEGIN_AT_ZERO["bounces"]) <= {kind.value for kind in BounceKind}


def test_a_beat_that_never_goes_well_has_a_time_from_which_its_silence_counts() -> None:
    meter = Meter()
    meter.begin("outbox", NOW)
    meter.beat("outbox", None)
    text = exposition(meter.families())

    assert f'monitor_job_last_success_timestamp_seconds{{job="outbox"}} {NOW.timestamp():.0f}' in text
    assert 'monitor_job_runs_total{job="outbox",outcome="failed"} 1' in text


# --- ops/ -----------------------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load((ROOT / "ops/prometheus-rules.yml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "ops/grafana-dashboard.json").read_text(encoding="utf-8"))
    return found


def test_every_metric_and_label_that_ops_names_is_exposed() -> None:
    text = everything()
    known = {name for name, _ in re.findall(r"# TYPE (\S+) (\S+)", text)}
    known |= {name.partition("{")[0] for name in re.findall(r"^[a-z_]+(?=[{ ])", text, re.M)}
    expressions = [rule["expr"] for rule in rules()]
    expressions += [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]

    for expression in expressions:
        names = set(re.findall(r"\bmonitor_\w+", expression))
        assert names or "up{" in expression, expression
        assert names <= known, names - known
        for name in names:
            labels = set(re.findall(r"(\w+)=\"", "".join(re.findall(rf"{name}\{{([^}}]*)\}}", expression))))
            family = next((line for line in text.splitlines() if line.startswith(name + "{")), "")
            assert all(f'{label}="' in family for label in labels), expression


def test_labels_that_expressions_group_by_exist() -> None:
    """A scraped label `job` is renamed, for Prometheus has its own."""
    known = set(re.findall(r'[{,](\w+)="', everything())) | {"exported_job"}
    sources = [rule["expr"] for rule in rules()]
    sources += [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]

    for expression in sources:
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in labels.split(",")} <= known - {"job"}, expression


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_has_a_section_that_says_what_to_do(rule: dict[str, Any]) -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert f"### {rule['alert']}\n" in page


def test_no_section_tells_of_an_alert_that_is_not_there() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

    assert set(re.findall(r"^### (Monitor\w+)$", page, re.M)) == {rule["alert"] for rule in rules()}


def test_panels_do_not_lie_on_each_other_and_have_their_own_numbers() -> None:
    panels = dashboard()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_dashboard_has_the_form_that_grafana_reads() -> None:
    """Its model of schema 39, as far as this one uses it. (Grafana itself cannot be had here to load it.)"""
    board = dashboard()
    source = {"type": "prometheus", "uid": "${datasource}"}

    assert (board["schemaVersion"], board["uid"]) == (39, "medical-news-monitor")
    assert [one["name"] for one in board["templating"]["list"] if one["type"] == "datasource"] == ["datasource"]
    for panel in board["panels"]:
        assert panel["type"] in {"stat", "table", "timeseries"}, panel["title"]
        assert panel["datasource"] == source
        assert set(panel["gridPos"]) == {"h", "w", "x", "y"}
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == sorted(set(refs)), panel["title"]
        assert all(target["datasource"] == source for target in panel["targets"])
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [{"value": None}])
        assert steps[0]["value"] is None
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(values), panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit") in UNITS, panel["title"]


UNITS = {"s", "bytes", "short", "opm"}  # of Grafana's identifiers
