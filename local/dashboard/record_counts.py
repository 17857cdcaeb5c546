"""Where the records are, as HTML: a card per layer, the balance of each source, and why records were rejected.

A record that broke a rule is a fault. One that came twice, or that a later one corrects, is none, and stands apart.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from dash import html

from local.dashboard.health import DUPLICATE, SUPERSEDED, Rejects, SourceBalance, TableHealth
from local.dashboard.numbers import NOTHING, day, percent, whole
from local.dashboard.pieces import ago, head, nothing, number
from local.rendering import visible

LAYERS = {
    "bronze": "every record as it came",
    "silver": "checked, unique, enriched",
    "gold": "KPI rows",
    "rejected": "records that broke a rule",
}
NAMES = {DUPLICATE: "duplicates", SUPERSEDED: "corrected since"}

Chosen = tuple[str, str] | None


def layer_cards(tables: Sequence[TableHealth], balances: Sequence[SourceBalance]) -> list[html.Div]:
    """A card per layer: rows, the newest record's age, the last commit's age; of rejected rows the faults."""
    return [_layer_card(layer, [each for each in tables if each.layer == layer], balances) for layer in LAYERS]


def _layer_card(layer: str, tables: Sequence[TableHealth], balances: Sequence[SourceBalance]) -> html.Div:
    arrived = max((each.arrived_at for each in tables if each.arrived_at), default=None)
    days = [each.newest for each in tables if isinstance(each.newest, date) and not isinstance(each.newest, datetime)]
    committed = max((each.commits[0].committed_at for each in tables if each.commits), default=None)
    rows = sum(each.rows for each in tables)
    more = {"tables": str(len(tables))}
    if layer == "rejected":
        rows = sum(each.faults for each in balances)
        more = {
            "duplicates": whole(sum(each.duplicates for each in balances)),
            "corrected since": whole(sum(each.corrected for each in balances)),
        }
    lines = {
        "newest day" if days else "newest record": ago(arrived) if arrived else day(max(days)) if days else NOTHING,
        "last commit": ago(committed) if committed else NOTHING,
        **more,
    }
    return html.Div(
        [
            html.Div([layer.capitalize(), html.Span(LAYERS[layer], className="note")], className="card-title"),
            html.Div(whole(rows) if tables else NOTHING, className="card-value"),
            html.Dl([each for name, value in lines.items() for each in (html.Dt(name), html.Dd(value))]),
        ],
        className=f"card layer {layer}",
    )


def balance_table(balances: Sequence[SourceBalance]) -> Any:
    """Bronze against silver and what was rejected, for each source."""
    if not balances:
        return nothing("Nothing yet: no source has sent a record.")
    return html.Table(
        [
            head("Source", "#Bronze", "#Silver", "#Faults", "#Duplicates", "#Corrected", "#Share of faults", ""),
            html.Tbody([_balance_row(each) for each in balances]),
        ]
    )


def _balance_row(balance: SourceBalance) -> html.Tr:
    share = percent(balance.faults / balance.bronze) if balance.bronze else NOTHING
    counts = (balance.bronze, balance.silver, balance.faults, balance.duplicates, balance.corrected)
    return html.Tr(
        [
            html.Td(balance.source, className="strong"),
            *map(number, counts),
            html.Td(share, className="number"),
            html.Td(_balance_mark(balance)),
        ],
        key=balance.source,
    )


def _balance_mark(balance: SourceBalance) -> html.Span:
    if balance.under_way == 0:
        return html.Span("balanced", className="pill good", title="bronze = silver + rejected")
    if balance.under_way > 0:
        return html.Span(f"{whole(balance.under_way)} under way", className="pill wait", title="not yet in silver")
    return html.Span(f"{whole(-balance.under_way)} too many", className="pill bad", title="more rows than records")


def rejects_list(rejects: Sequence[Rejects], chosen: Chosen) -> Any:
    """The rules that records broke, each a button with a bar; below them duplicates and corrections, which are none."""
    if not rejects:
        return nothing("Nothing was rejected.")
    return html.Div([_rejects_of(each, chosen) for each in rejects], className="rejects")


def _rejects_of(rejects: Rejects, chosen: Chosen) -> html.Div:
    faults = sum(rows for _, rows in rejects.faults)
    return html.Div(
        [
            html.H4(
                [rejects.source, html.Span(f"{whole(faults)} fault{'' if faults == 1 else 's'}", className="note")]
            ),
            *(_rule(rejects.source, rule, rows, rejects.faults[0][1], chosen) for rule, rows in rejects.faults),
            *([html.Div("no faults", className="note apart")] if rejects.others else []),
            *(_rule(rejects.source, rule, rows, None, chosen) for rule, rows in rejects.others),
        ],
        className="source",
        key=rejects.source,
    )


def _rule(source: str, rule: str, rows: int, most: int | None, chosen: Chosen) -> html.Button:
    """A rule as a button, its bar as long as its share of the most frequent one; no fault has no bar."""
    bar = html.Span(html.Span(style={"width": f"{rows / most:.1%}"}), className="bar") if most else html.Span()
    return html.Button(
        [
            html.Span(NAMES.get(rule) or visible(rule), className="rule"),
            bar,
            html.Span(whole(rows), className="number"),
        ],
        id={"type": "reject", "source": source, "rule": rule},
        className="reject chosen" if chosen == (source, rule) else "reject",
        n_clicks=0,
    )
