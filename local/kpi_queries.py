"""A KPI as SQL to read and to try: from gold, where it is kept, and from silver, where it comes from. Text only."""

from lakehouse.kpi_model import Contribution, Kpi


def dimensions_of(kpi: Kpi) -> tuple[str, ...]:
    """The dimension columns of a KPI, in the order of declaration."""
    return tuple(dict.fromkeys(name for each in kpi.contributions for name in each.dimensions))


def is_rate(kpi: Kpi) -> bool:
    """Whether a KPI is one sum over another; else it is a plain sum."""
    return any(each.denominator is not None for each in kpi.contributions)


def read_query(kpi: Kpi) -> str:
    """The KPI by day and dimensions, as gold keeps it."""
    columns = ", ".join(("period_start", *dimensions_of(kpi), "value"))
    return f"select {columns}\nfrom {kpi.table}\nwhere kpi_name = '{kpi.name}'\norder by all"


def total_query(kpi: Kpi) -> str | None:
    """The KPI over all days and dimensions together; None for percentiles, which do not add up."""
    if any(each.percentile is not None for each in kpi.contributions):
        return None
    value = "sum(numerator) / sum(denominator)" if is_rate(kpi) else "sum(numerator)"
    return f"select {value} as value\nfrom {kpi.table}\nwhere kpi_name = '{kpi.name}'"


def source_query(kpi: Kpi) -> str:
    """The KPI computed anew from silver, by day and dimensions; it is what gold has to be."""
    return "\nunion all\n".join(_group(kpi, group) for group in _groups(kpi)) + "\norder by all"


def _groups(kpi: Kpi) -> list[list[Contribution]]:
    """The contributions that add up with each other: all but the percentiles, then each percentile by itself."""
    added = [each for each in kpi.contributions if each.percentile is None]
    return [group for group in (added, *([each] for each in kpi.contributions if each.percentile)) if group]


def _group(kpi: Kpi, contributions: list[Contribution]) -> str:
    names = dimensions_of(kpi)
    rows = "\n  union all\n".join(_rows(names, each) for each in contributions)
    percentile = contributions[0].percentile
    if percentile:
        numerator, denominator = f"quantile_disc(numerator, {percentile / 100})", "1"
    else:
        numerator, denominator = "sum(numerator)", "sum(denominator)" if is_rate(kpi) else "1"
    value = f"round({numerator} / nullif({denominator}, 0), 10)"
    columns = ", ".join(("day", *names))
    return (
        f"select {columns}, {numerator} as numerator, {denominator} as denominator,\n"
        f"  {value} as value\nfrom (\n{rows}\n)\ngroup by {columns}"
    )


def _rows(names: tuple[str, ...], contribution: Contribution) -> str:
    """What each row of a silver table adds, with its day and dimensions."""
    dimensions = "".join(f" {contribution.dimensions.get(name, 'null')} as {name}," for name in names)
    amounts = [f"{_amount(contribution.numerator)} as numerator"]
    if contribution.denominator is not None:
        amounts.append(f"{_amount(contribution.denominator)} as denominator")
    lines = [
        f"  select cast({contribution.day} as date) as day,{dimensions}",
        "    " + ",\n    ".join(amounts),
        f"  from {contribution.source}",
        "" if contribution.where == "true" else f"  where {contribution.where}",
    ]
    return "\n".join(line for line in lines if line)


def _amount(expression: str) -> str:
    return f"coalesce(cast(round({expression}, 4) as decimal(28, 4)), 0)"
