"""`lakehouse stream LAYER`: the long-running queries of a layer."""

from streaming.main import run

__all__ = ["run"]
