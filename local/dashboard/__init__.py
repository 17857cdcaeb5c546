"""The dashboard: a page per team with its KPIs, and a page of the pipeline's health. It only reads the lake."""
