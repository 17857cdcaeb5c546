"""The pieces of the pipeline page as HTML. Values from records only ever become text nodes: they stay inert."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dash import html

from local.dashboard.health import TableHealth
from local.dashboard.numbers import NOTHING, day, duration, whole
from local.dashboard.pieces import ago, head, nothing, number
from local.lineage_text import describe, describe_counts, describe_input
from local.rendering import cell_text, visible
from runtime.delta_log import Commit
from runtime.lineage import FileInput, Input, ShardInput, TracedCommit, TracedTable, read_lineage

SHORT_PAYLOAD = 110
KEPT = html.Span("kept", className="pill good")
IDLE = {
    "bronze": "nothing new has come for longer than that; whether its job runs is not seen from here",
    "silver": "it has all that bronze has; nothing new has come for longer than that",
    "gold": "it has all that silver has; nothing new has come for longer than that",
}


def failing_table(rows: Sequence[dict[str, Any]]) -> Any:
    """Rejected rows, a line each, with the payload to unfold."""
    if not rows:
        return nothing("No row is left that broke this rule.")
    return html.Table(
        [
            head("Arrived (UTC)", "Column", "Value", "What was wrong", "Record", "Payload"),
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
            head("Table", "#Rows", "#Version", "Newest record", "Last commit", "Promised freshness"),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Td(each.name, className="strong"),
                            number(each.rows),
                            number(each.version),
                            html.Td(_newest(each)),
                            html.Td(ago(each.commits[0].committed_at) if each.commits else NOTHING),
                            html.Td(freshness(each, datetime.now(UTC))),
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


def freshness(table: TableHealth, now: datetime) -> Any:
    """Whether a table keeps what it promises. One that has all there is, and gets nothing new, is idle and not late."""
    if table.agreed is None or table.layer == "rejected":
        return html.Span("none", className="note")
    promised = duration(table.agreed.total_seconds())
    if table.waiting_since is not None:
        behind = f"rows have waited for it since {table.waiting_since:%Y-%m-%d %H:%M:%S} UTC"
        late = now - table.waiting_since > table.agreed
        mark = html.Span("late" if late else "under way", className="pill bad" if late else "pill wait", title=behind)
    else:
        # A table of KPIs is as fresh as its last commit: its rows carry days, not arrivals.
        time = table.arrived_at or (table.commits[0].committed_at if table.commits else None)
        idle = time is None or now - time > table.agreed
        mark = html.Span("idle", className="pill", title=IDLE[table.layer]) if idle else KEPT
    return html.Span([mark, f" within {promised}"])


def commits_table(commits: Sequence[tuple[str, Commit]], chosen: tuple[str, int] | None) -> Any:
    """The last commits: who wrote what from where. A click asks for the walk back."""
    if not commits:
        return nothing("Nothing yet: no table has a commit.")
    return html.Table(
        [
            head("When", "Table", "#Version", "Written by", "Records", "From"),
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
            number(commit.version),
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
