"""What a lake must hold after a run, computed a second time and by other means than the lake's own.

From what was delivered (`deliveries`) and nothing else: plain Python, exact decimals, no Spark, no contract files, and
no import from the packages under test. It is written from the specification, so that an error in the product and one in
its proof do not cancel out. `expectation.expect` gives the expected lake, `comparison.compare` the differences to a
real one.
"""
