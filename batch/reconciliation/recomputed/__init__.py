"""The silver rules once more, in Spark: the second implementation that `lakehouse reconcile` holds the first against.

    bronze records --parse--> --enrich--> candidates + faulty rows
    candidates + rows that were there --contest--> winners + losers
    winners + their neighbours --settle--> silver rows

It shares contracts with `lakehouse/engine` and not a line of code: a fault of either shows as a difference. It computes
whole tables, or a change to them, and knows nothing of batches, messages and rejected rows.
"""
