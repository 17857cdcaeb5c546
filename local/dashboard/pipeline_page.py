"""The page of the pipeline's health: its layout, and the callbacks that refresh it and answer clicks."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate
from plotly.utils import PlotlyJSONEncoder

from lakehouse.errors import LakehouseError
from local.dashboard import charts
from local.dashboard import pipeline_parts as parts
from local.dashboard import record_counts as counts
from local.dashboard.axes import HEIGHT
from local.dashboard.health import Health, Rejects, TableHealth, latest_commits
from local.dashboard.numbers import duration
from local.dashboard.pieces import nothing
from local.dashboard.throughput import throughput
from runtime.lineage import Tracer

MOST_COMMITS = 14
MOST_TRACED = 5
MOST_FAILING = 50
REFRESH_MILLISECONDS = 3000
NO_LAKE = "Nothing yet: the lake fills when the jobs run (lakehouse demo, lakehouse stream all)"

PARTS = ("status", "cards", "balance", "rejects", "failing", "commits", "tables", "note", "rate")

Chosen = dict[str, Any] | None


def pipeline_page(health: Health) -> html.Div:
    """The whole page, filled with what there is now."""
    content = page_parts(health, None, None)
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H1("Pipeline"),
                            html.P("Is the data fresh, and where did every record go?", className="question"),
                        ]
                    ),
                    html.Div(
                        html.Div(content["status"], id="pipeline-status", className="status"), className="controls"
                    ),
                ],
                className="heading",
            ),
            html.Div(content["cards"], id="pipeline-cards", className="cards"),
            html.Div(
                [
                    _panel("Rows into bronze", _slot("note", content), _graph(content["rate"])),
                    _panel("Where every record is", "bronze = silver + rejected", _slot("balance", content)),
                    _panel("Faults by rule", "click a rule for its rows", _slot("rejects", content), wide=True),
                    html.Div(content["failing"], id="pipeline-failing", className="span scroll"),
                    _panel(
                        "Last commits", "click one to walk back to its sources", _slot("commits", content), wide=True
                    ),
                    html.Div(id="pipeline-trace", className="span"),
                    _panel("Tables", "", _slot("tables", content), wide=True),
                ],
                className="panels",
            ),
            dcc.Store(id="pipeline-shown", data=_fingerprints(content)),
            dcc.Store(id="pipeline-reject"),
            dcc.Store(id="pipeline-commit"),
            dcc.Interval(id="pipeline-tick", interval=REFRESH_MILLISECONDS),
        ],
        id="page-pipeline",
        key="pipeline",
    )


def page_parts(health: Health, reject: Chosen, commit: Chosen) -> dict[str, Any]:
    """The parts of the page, named as in `PARTS`; `reject` and `commit` are what was clicked."""
    status = ""
    tables: list[TableHealth] = []
    rejects: Sequence[Rejects] = ()
    try:
        tables = health.tables()
        rejects = health.rejects()
    except LakehouseError as error:
        status = str(error)
    else:
        status = "" if tables else NO_LAKE
    rate, note = _rate(tables)
    balances = health.balances(tables, rejects)
    chosen_reject = (reject["source"], reject["rule"]) if reject else None
    chosen_commit = (commit["table"], commit["version"]) if commit else None
    return {
        "status": status,
        "cards": counts.layer_cards(tables, balances),
        "balance": counts.balance_table(balances),
        "rejects": counts.rejects_list(rejects, chosen_reject),
        "failing": _failing(health, chosen_reject),
        "commits": parts.commits_table(latest_commits(tables, MOST_COMMITS), chosen_commit),
        "tables": parts.tables_table(tables),
        "note": note,
        "rate": rate,
    }


def register_pipeline(app: Dash, health: Health) -> None:
    """The callbacks of the page: its refresh, and what a click on a rule or a commit shows."""

    @app.callback(
        *(Output(f"pipeline-{name}", "figure" if name == "rate" else "children") for name in PARTS),
        Output("pipeline-shown", "data"),
        Input("pipeline-tick", "n_intervals"),
        Input("pipeline-reject", "data"),
        Input("pipeline-commit", "data"),
        State("pipeline-shown", "data"),
        prevent_initial_call=True,
    )
    def refresh(_ticks: int, reject: Chosen, commit: Chosen, shown: dict[str, str]) -> list[Any]:
        content = page_parts(health, reject, commit)
        now = _fingerprints(content)
        if now == shown:
            raise PreventUpdate
        # A part that is sent again is built anew in the browser: unfolded rows would fold, selected text be lost.
        return [*(content[name] if now[name] != shown.get(name) else no_update for name in PARTS), now]

    @app.callback(Output("pipeline-trace", "children"), Input("pipeline-commit", "data"), prevent_initial_call=True)
    def show_trace(chosen: Chosen) -> Any:
        return _trace(health, chosen)

    _register_choice(app, "pipeline-reject", {"type": "reject", "source": ALL, "rule": ALL})
    _register_choice(app, "pipeline-commit", {"type": "commit", "table": ALL, "version": ALL})


def _fingerprints(content: dict[str, Any]) -> dict[str, str]:
    """What tells whether a part changed."""
    return {
        name: hashlib.sha256(json.dumps(content[name], cls=PlotlyJSONEncoder).encode()).hexdigest()[:16]
        for name in PARTS
    }


def _register_choice(app: Dash, store: str, pattern: dict[str, Any]) -> None:
    """A click on one of the things of a pattern chooses it, a click on the chosen one lets it go."""

    @app.callback(Output(store, "data"), Input(pattern, "n_clicks"), State(store, "data"), prevent_initial_call=True)
    def choose(_clicks: list[int], before: Chosen) -> Chosen:
        # A list that is drawn anew fires too, with no click on anything.
        if not ctx.triggered[0]["value"] or not isinstance(ctx.triggered_id, dict):
            raise PreventUpdate
        chosen = dict(ctx.triggered_id)
        return None if chosen == before else chosen


def _rate(tables: list[TableHealth]) -> tuple[go.Figure, str]:
    width, rates = throughput(tables)
    if not rates:
        return charts.nothing_yet("Nothing yet: no commit says how many records it took in"), ""
    return charts.over_time(rates, width), f"rows a second, in steps of {duration(width)}, UTC"


def _failing(health: Health, chosen: tuple[str, str] | None) -> Any:
    if not chosen:
        return []
    source, rule = chosen
    try:
        rows = health.failing_rows(source, rule, MOST_FAILING)
    except LakehouseError as error:
        return _panel("Failing rows", "", nothing(str(error)), wide=True)
    note = f"the last {MOST_FAILING} to arrive" if len(rows) == MOST_FAILING else f"all {len(rows)}"
    return _panel(f"{source}: {rule}", note, parts.failing_table(rows), wide=True)


def _trace(health: Health, chosen: Chosen) -> Any:
    if not chosen:
        return []
    try:
        traced = Tracer(health.log, limit=MOST_TRACED).trace(chosen["table"], chosen["version"])
    except LakehouseError as error:
        return _panel("Lineage", "", nothing(str(error)), wide=True)
    note = f"lakehouse lineage {chosen['table']} --version {chosen['version']} shows more"
    return _panel("Lineage", note, parts.trace_list(traced), wide=True)


def _slot(name: str, content: dict[str, Any]) -> html.Div:
    return html.Div(content[name], id=f"pipeline-{name}", className="scroll")


def _graph(figure: go.Figure) -> dcc.Graph:
    return dcc.Graph(
        id="pipeline-rate",
        figure=figure,
        config={"displayModeBar": False, "responsive": True},
        style={"height": f"{HEIGHT}px"},
    )


def _panel(title: str, note: Any, children: Any, wide: bool = False) -> html.Section:
    heading = html.Header([html.H3(title), html.Span(note, className="note")])
    return html.Section([heading, children], className="panel wide" if wide else "panel")
