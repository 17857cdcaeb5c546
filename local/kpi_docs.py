"""A page in Markdown for each KPI, and an index by team. Makes text only, writes no file.

What a KPI is made of comes from its declaration, what it means from `local/meanings`, and what is promised from the
contract of its gold table.
"""

from collections.abc import Iterable, Mapping, Sequence

from lakehouse.contracts import Contract, Contracts
from lakehouse.kpi_model import Kpi
from lakehouse.kpis import KPIS
from local.kpi_queries import dimensions_of, is_rate, read_query, source_query, total_query
from local.meanings import MEANINGS, Meaning
from local.meanings.meaning import Example, Result
from local.rendering import length_of_time

INTRODUCTION = """\
# KPIs

Made from the declarations in `lakehouse/kpis.py` and their meanings in `local/meanings`: one page per KPI, by the team
that asked for it. `lakehouse describe NAME` prints a page, the dashboard shows it behind each title."""


def pages(contracts: Contracts) -> dict[str, str]:
    """The text of every file: `<kpi>.md` for each KPI and `README.md`, the index by team."""
    return {"README.md": index()} | {f"{kpi.name}.md": page(kpi, contracts) for kpi in KPIS}


def index() -> str:
    """All KPIs by team, with the question that each answers."""
    parts = [INTRODUCTION]
    for team in dict.fromkeys(kpi.team for kpi in KPIS):
        rows = [
            (f"[{kpi.name}]({kpi.name}.md)", MEANINGS[kpi.name].title, MEANINGS[kpi.name].question)
            for kpi in KPIS
            if kpi.team == team
        ]
        parts.append(f"## {team}\n\n{_table(('KPI', 'called', 'answers'), rows)}")
    return "\n\n".join(parts) + "\n"


def page(kpi: Kpi, contracts: Contracts) -> str:
    """Everything about one KPI."""
    meaning = MEANINGS[kpi.name]
    parts = [
        f"# {meaning.title}",
        f"**{meaning.question}**",
        meaning.formula,
        _table(("agreed", ""), _agreed(kpi, contracts.table(kpi.table))),
        "## What is counted\n\n" + _list(meaning.counted),
    ]
    if meaning.not_counted:
        parts.append("## What is not\n\n" + _list(meaning.not_counted))
    parts.append("## Where it misleads\n\n" + _list(meaning.traps))
    parts.append("## What the trade calls so\n\n" + meaning.trade)
    parts.append("## A worked example\n\n" + _example(meaning.example))
    parts.append("## SQL\n\n" + "\n\n".join(_queries(kpi)))
    return "\n\n".join(parts) + "\n"


def _agreed(kpi: Kpi, contract: Contract) -> list[tuple[str, str]]:
    dimensions = ", ".join(f"`{name}`" for name in dimensions_of(kpi))
    readers = [role.name for role in contract.roles if role.row_filter is None or f"'{kpi.name}'" in role.row_filter]
    fresh = [("a record counts within", length_of_time(contract.freshness))] if contract.freshness else []
    return [
        ("name", f"`{kpi.name}`"),
        ("asked for by", kpi.team),
        ("owner of the table", contract.owner),
        ("unit", "GBP" if kpi.unit == "currency" else kpi.unit),
        ("one value for", "each UTC day" + (f" and {dimensions}" if dimensions else "")),
        ("adds up by", "numerators over denominators" if is_rate(kpi) else "its values"),
        ("table", f"`{kpi.table}`"),
        ("made from", ", ".join(f"`{source}`" for source in dict.fromkeys(each.source for each in kpi.contributions))),
        *fresh,
        ("who may read it", ", ".join(readers)),
    ]


def _example(example: Example) -> str:
    parts = [example.why]
    for source, rows in example.rows.items():
        columns = tuple(rows[0])
        cells = [tuple(_cell(row.get(column)) for column in columns) for row in rows]
        parts.append(f"`{source}`:\n\n{_table(columns, cells)}")
    return "\n\n".join([*parts, "makes", _results(example.results)])


def _results(results: Sequence[Result]) -> str:
    names = tuple(results[0].dimensions)
    rows = [
        (each.day, *(_cell(each.dimensions[name]) for name in names), each.numerator, each.denominator, each.value)
        for each in results
    ]
    return _table(("day", *names, "numerator", "denominator", "value"), rows)


def _queries(kpi: Kpi) -> Iterable[str]:
    yield f"By day, as gold keeps it:\n\n{_sql(read_query(kpi))}"
    total = total_query(kpi)
    if total is not None:
        yield f"Over all days and dimensions:\n\n{_sql(total)}"
    yield f"From silver, as it comes about:\n\n{_sql(source_query(kpi))}"


def describe_json(kpi: Kpi, contracts: Contracts) -> Mapping[str, object]:
    """What the page says, as values."""
    meaning: Meaning = MEANINGS[kpi.name]
    return {
        **{key.replace(" ", "_"): value.replace("`", "") for key, value in _agreed(kpi, contracts.table(kpi.table))},
        "title": meaning.title,
        "question": meaning.question,
        "formula": meaning.formula,
        "counted": list(meaning.counted),
        "not_counted": list(meaning.not_counted),
        "traps": list(meaning.traps),
        "trade": meaning.trade,
        "dimensions": list(dimensions_of(kpi)),
        "sql": read_query(kpi),
        "sql_from_silver": source_query(kpi),
    }


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _sql(statement: str) -> str:
    return f"```sql\n{statement}\n```"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).replace("|", "\\|")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
