"""The rules of the lake on Arrow tables: records in, rows out. No Spark, no I/O, no clock.

One batch of a silver table reads top down in `batch.py`: parse, check, enrich, contest, settle. `gold.py` turns what
changed in silver into changes of KPIs.
"""
