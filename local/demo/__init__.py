"""`lakehouse demo`: the whole lakehouse on this machine, on real till days, with a crash in the middle and a proof."""
