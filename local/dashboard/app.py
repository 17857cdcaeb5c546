"""The Dash app: the frame around the pages, and the callbacks that keep them fresh. `server.py` runs it."""

from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate
from flask import Flask, Response, abort, request

from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from local.dashboard.health import Health
from local.dashboard.kpi_pages import FOLDER, kpi_page
from local.dashboard.panels import Team
from local.dashboard.pipeline_page import pipeline_page, register_pipeline
from local.dashboard.readings import Readings
from local.dashboard.team_pages import team_outputs, team_page
from local.dashboard.team_reading import Choice, TeamReader
from local.dashboard.teams import TEAMS

PIPELINE = "pipeline"
LOCAL_NAMES = ("127.0.0.1", "localhost")
# Scripts of the page itself are inline, the plotting library compiles code: neither ever holds data.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'"
)


def create_app(settings: Settings, readings: Readings) -> Dash:
    """The dashboard over a lake. Every script and style comes from this machine; values of data are only ever text."""
    app = Dash(
        "lakehouse-dashboard",
        title="Lakehouse",
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        serve_locally=True,
        suppress_callback_exceptions=True,
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    contracts = load_contracts(settings.contracts_directory)
    health = Health(readings, contracts)
    reader = TeamReader(readings, {team.table: contracts.table(team.table).freshness for team in TEAMS})
    app.layout = _frame(settings)
    _guard(app.server)

    @app.callback(Output("page", "children"), Output("nav", "children"), Input("address", "pathname"))
    def show_page(path: str | None) -> tuple[Any, Any]:
        key = (path or "/").strip("/") or TEAMS[0].key
        if key.partition("/")[0] == FOLDER:
            return kpi_page(key, contracts), _links(FOLDER)
        team = next((each for each in TEAMS if each.key == key), None)
        page = team_page(reader, team) if team else pipeline_page(health)
        return page, _links(key if team else PIPELINE)

    for team in TEAMS:
        _register_team(app, reader, team)
    register_pipeline(app, health)
    return app


def _frame(settings: Settings) -> html.Div:
    return html.Div(
        [
            dcc.Location(id="address"),
            html.Header(
                [
                    html.Div([html.Span("◆", className="mark"), "Shopware Lakehouse"], className="brand"),
                    html.Nav(id="nav"),
                    html.Div(settings.root, className="root", title="the lake that is shown"),
                ],
                className="top",
            ),
            html.Main(id="page"),
        ]
    )


def _links(current: str) -> list[dcc.Link]:
    pages = [(team.key, team.name) for team in TEAMS] + [(PIPELINE, "Pipeline"), (FOLDER, "KPIs")]
    return [dcc.Link(name, href=f"/{key}", className="here" if key == current else "") for key, name in pages]


def _register_team(app: Dash, reader: TeamReader, team: Team) -> None:
    """Keeps a team's page fresh: nothing is sent, and nothing on the page moves, while its table stays the same."""

    @app.callback(
        Output(f"{team.key}-cards", "children"),
        Output(f"{team.key}-status", "children"),
        Output(f"{team.key}-shown", "data"),
        *(Output(f"{team.key}-{panel.key}", panel.shape) for panel in team.panels),
        Input(f"{team.key}-tick", "n_intervals"),
        Input(f"{team.key}-period", "value"),
        Input(f"{team.key}-against", "value"),
        State(f"{team.key}-shown", "data"),
        prevent_initial_call=True,
    )
    def refresh(_ticks: int, period: str, against: str, shown: dict[str, Any] | None) -> tuple[Any, ...]:
        now, cards, drawn, status = team_outputs(reader, team, Choice(period, against))
        if shown == now:
            raise PreventUpdate
        return cards, status, now, *drawn


def _guard(server: Flask) -> None:
    """Answers only requests to this machine's own names, so that no foreign site can reach in through the browser."""

    @server.before_request
    def refuse_foreign_names() -> None:
        if request.host.rsplit(":", 1)[0] not in LOCAL_NAMES:
            abort(403)

    @server.after_request
    def add_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
