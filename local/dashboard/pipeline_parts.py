"""The pieces of the pipeline page as HTML. Values from records only ever become text nodes: they stay inert."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from dash import html

from local.dashboard.health import Rejects, SourceBalance, TableHealth
from local.dashboard.numbers import NOTHING, day, duration, percent, whole
from local.lineage_text import describe, describe_counts, describe_input
from local.rendering import cell_text, visible
from runtime.delta_log import Commit
from runtime.lineage import FileInput, Input, ShardInput, TracedCommit, TracedTable, read_lineage

LAYERS = {
    "bronze": "every record as it came",
    "silver": "checked, unique, enriched",
    "gold": "KPI rows",
    "rejected": "records with their reason",
}
SHORT_PAYLOAD = 110


def nothing(text: str) -> html.P:
    """What stands where nothing is yet."""
    return html.P(text, className="empty")


def ago(time: datetime) -> html.Time:
    """How long ago a time was; the page itself keeps it right, each second."""
    return html.Time(dateTime=time.isoformat(), className="ago", title=f"{time:%Y-%m-%d %H:%M:%S} UTC")


def layer_cards(tables: Sequence[TableHealth]) -> list[html.Div]:
    """A card per layer: rows, the newest record's age, the last commit's age."""
    return [_layer_card(layer, [each for each in tables if each.layer == layer]) for layer in LAYERS]


def _layer_card(layer: str, tables: Sequence[TableHealth]) -> html.Div:
    arrived = max((each.arrived_at for each in tables if each.arrived_at), default=None)
    days = [each.newest for each in tables if isinstance(each.newest, date) and not isinstance(each.newest, datetime)]
    committed = max((each.commits[0].committed_at for each in tables if each.commits), default=None)
    newest = ago(arrived) if arrived else day(max(days)) if days else NOTHING
    return html.Div(
        [
            html.Div([layer.capitalize(), html.Span(LAYERS[layer], className="note")], className="card-title"),
            html.Div(whole(sum(each.rows for each in tables)) if tables else NOTHING, className="card-value"),
            html.Dl(
                [
                    html.Dt("newest day" if days else "newest record"),
                    html.Dd(newest),
                    html.Dt("last commit"),
                    html.Dd(ago(committed) if committed else NOTHING),
                    html.Dt("tables"),
                    html.Dd(str(len(tables))),
                ]
            ),
        ],
        className=f"card layer {layer}",
    )


def balance_table(balances: Sequence[SourceBalance]) -> Any:
    """Bronze against silver and rejected for each source."""
    if not balances:
        return nothing("Nothing yet: no source has sent a record.")
    return html.Table(
        [
            _head("Source", "#Bronze", "#Silver", "#Rejected", "#Share", ""),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Td(each.source, className="strong"),
                            _number(each.bronze),
                            _number(each.silver),
                            _number(each.rejected),
                            html.Td(
                                percent(each.rejected / each.bronze) if each.bronze else NOTHING, className="number"
                            ),
                            html.Td(_balance_mark(each)),
                        ],
                        key=each.source,
                    )
                    for each in balances
                ]
            ),
        ]
    )


def _balance_mark(balance: SourceBalance) -> html.Span:
    if balance.under_way == 0:
        return html.Span("balanced", className="pill good", title="bronze = silver + rejected")
    if balance.under_way > 0:
        return html.Span(f"{whole(balance.under_way)} under way", className="pill wait", title="not yet in silver")
    return html.Span(f"{whole(-balance.under_way)} too many", className="pill bad", title="more rows than records")


def rejects_list(rejects: Sequence[Rejects], chosen: tuple[str, str] | None) -> Any:
    """The rules that rejected rows, each a button with a bar as long as its share of the source's first."""
    if not rejects:
        return nothing("Nothing was rejected.")
    return html.Div(
        [
            html.Div(
                [
                    html.H4([each.source, html.Span(whole(sum(rows for _, rows in each.rules)), className="note")]),
                    *(
                        html.Button(
                            [
                                html.Span(visible(rule), className="rule"),
                                html.Span(
                                    html.Span(style={"width": f"{rows / each.rules[0][1]:.1%}"}), className="bar"
                                ),
                                html.Span(whole(rows), className="number"),
                            ],
                            id={"type": "reject", "source": each.source, "rule": rule},
                            className="reject chosen" if chosen == (each.source, rule) else "reject",
                            n_clicks=0,
                        )
                        for rule, rows in each.rules
                    ),
                ],
                className="source",
                key=each.source,
            )
            for each in rejects
        ],
        className="rejects",
    )


def failing_table(rows: Sequence[dict[str, Any]]) -> Any:
    """Rejected rows, a line each, with the payload to unfold."""
    if not rows:
        return nothing("No row is left that broke this rule.")
    return html.Table(
        [
            _head("Arrived (UTC)", "Column", "Value", "What was wrong", "Record", "Payload"),
            html.Tbody([_failing_row(row) for row in rows]),
        ],
        className="failing",
    )


def _failing_row(row: dict[str, Any]) -> html.Tr:
    payload = visible(row["payload"] or "")
    size = row["size"] or 0
    cut = f" … ({whole(size)} characters in all)" if size > len(row["payload"] or "") else ""
    return html.Tr(
        [
            html.Td(f"{row['arrived_at']:%Y-%m-%d %H:%M:%S}", className="nowrap"),
            html.Td(visible(row["column"] or NOTHING), className="strong"),
            html.Td(html.Code(visible(cell_text(row["value"])) or NOTHING)),
            html.Td(visible(row["message"] or "")),
            html.Td(html.Code(visible(row["record_id"]))),
            html.Td(
                html.Details(
                    [
                        html.Summary(
                            html.Code(payload[:SHORT_PAYLOAD] + ("…" if len(payload) > SHORT_PAYLOAD else ""))
                        ),
                        html.Pre(payload + cut),
                    ]
                )
                if payload
                else html.Span("empty", className="note")
            ),
        ],
        key=row["record_id"],
    )


def tables_table(tables: Sequence[TableHealth]) -> Any:
    """Every table with its rows and its freshness against what its contract promises."""
    if not tables:
        return nothing("Nothing yet: the lake has no tables.")
    return html.Table(
        [
            _head("Table", "#Rows", "#Version", "Newest record", "Last commit", "Promised freshness"),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Td(each.name, className="strong"),
                            _number(each.rows),
                            _number(each.version),
                            html.Td(_newest(each)),
                            html.Td(ago(each.commits[0].committed_at) if each.commits else NOTHING),
                            html.Td(_freshness(each)),
                        ],
                        key=each.name,
                    )
                    for each in tables
                ]
            ),
        ]
    )


def _newest(table: TableHealth) -> Any:
    if table.newest is None:
        return NOTHING
    return ago(table.arrived_at) if table.arrived_at else day(table.newest)


def _freshness(table: TableHealth) -> Any:
    if table.agreed is None or table.layer == "rejected":
        return html.Span("none", className="note")
    promised = duration(table.agreed.total_seconds())
    # A table of KPIs is as fresh as its last commit: its rows carry days, not arrivals.
    time = table.arrived_at or (table.commits[0].committed_at if table.commits else None)
    late = time is None or datetime.now(UTC) - time > table.agreed
    mark = html.Span("late", className="pill wait") if late else html.Span("kept", className="pill good")
    return html.Span([mark, f" within {promised}"])


def commits_table(commits: Sequence[tuple[str, Commit]], chosen: tuple[str, int] | None) -> Any:
    """The last commits: who wrote what from where. A click asks for the walk back."""
    if not commits:
        return nothing("Nothing yet: no table has a commit.")
    return html.Table(
        [
            _head("When", "Table", "#Version", "Written by", "Records", "From"),
            html.Tbody([_commit_row(table, commit, chosen == (table, commit.version)) for table, commit in commits]),
        ],
        className="commits",
    )


def _commit_row(table: str, commit: Commit, chosen: bool) -> html.Tr:
    lineage = read_lineage(commit.metadata)
    writer = f"{lineage.job} batch {lineage.batch}" if lineage else commit.operation
    return html.Tr(
        [
            html.Td(ago(commit.committed_at), className="nowrap"),
            html.Td(table, className="strong"),
            _number(commit.version),
            html.Td(visible(writer)),
            html.Td(visible(describe_counts(lineage)) if lineage else html.Span("no lineage", className="note")),
            html.Td(visible("; ".join(map(_short_input, lineage.inputs[:3]))) if lineage else NOTHING),
        ],
        id={"type": "commit", "table": table, "version": commit.version},
        n_clicks=0,
        className="click chosen" if chosen else "click",
        key=f"{table} {commit.version}",
    )


def _short_input(found: Input) -> str:
    match found:
        case ShardInput():
            return f"{found.stream} {found.shard.rpartition('-')[2].lstrip('0') or '0'}: {whole(found.records)} records"
        case FileInput():
            return found.file
        case _:
            span = f"{found.first}" if found.first == found.last else f"{found.first} to {found.last}"
            return f"{found.table} {span}"


def trace_list(traced: TracedCommit) -> html.Ul:
    """A commit with all that led to it, as nested lists."""
    return html.Ul(_trace_item(traced), className="trace")


def _trace_item(traced: TracedCommit) -> html.Li:
    inner: list[html.Li] = []
    for source in traced.sources:
        if not isinstance(source, TracedTable):
            inner.append(html.Li(html.Code(visible(describe_input(source)))))
            continue
        commits = [_trace_item(each) for each in source.commits]
        if source.omitted:
            commits.append(html.Li(f"and {source.omitted} earlier commits", className="note"))
        single = source.input.first == source.input.last and len(source.commits) == 1
        inner += commits if single else [html.Li([visible(describe_input(source)), html.Ul(commits)])]
    name = html.Span(f"{traced.table} version {traced.version}", className="strong")
    return html.Li([name, f"  {visible(describe(traced))}", html.Ul(inner)])


def _head(*names: str) -> html.Thead:
    """The head of a table; `#` marks columns of numbers."""
    return html.Thead(
        html.Tr([html.Th(name.removeprefix("#"), className="number" if name.startswith("#") else "") for name in names])
    )


def _number(value: int) -> html.Td:
    return html.Td(whole(value), className="number")
