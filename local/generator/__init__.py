"""A retailer's days for the demo and the tests: real till lines and a real access log, and what is derived from them.

`production.plan` gives everything that the sources would deliver, `produce` delivers it, `ledger` remembers what was
delivered. The same seed and days give the same bytes. Nothing here knows what the lake makes of it.
"""
