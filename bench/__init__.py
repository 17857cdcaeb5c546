"""What the lakehouse costs, measured: `python -m bench`. Ratios within one run are the claim, not seconds."""
