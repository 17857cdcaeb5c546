"""Statements to start from, for `lakehouse sql --help`. A module of its own: help must not wait for DuckDB."""

EXAMPLES = """\
lakehouse sql "select kpi_name, sum(numerator) from gold.sales_kpis group by all order by all"
lakehouse sql "select type, count(*), sum(quantity * unit_price) from silver.validated_pos group by type"
lakehouse sql "select rule, \\"column\\", count(*) from rejected.pos group by all order by 3 desc" --format csv
lakehouse sql "select payload->>'$.page', count(*) from bronze.web_logs group by 1 order by 2 desc limit 10"
lakehouse sql "show tables"
lakehouse sql "pivot gold.sales_kpis on kpi_name using sum(numerator) group by month order by month"
lakehouse sql "summarize silver.validated_pos"
lakehouse sql "describe silver.sessionized_web_logs"
lakehouse sql "select count(*) from silver.validated_pos" --at silver.validated_pos=3 --format json
"""
