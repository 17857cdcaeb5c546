"""`lakehouse stream LAYER`: the long-running queries of a layer."""

import logging

from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from runtime.spark import create_session
from streaming.job import Job
from streaming.layers import declarations


def run(layer: str, drain: bool, settings: Settings) -> None:
    """Runs the layer's queries until SIGTERM or, with `drain`, until all that had arrived is through.

    Raises LakehouseError when a table does not fit its contract or a query fails too often.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("py4j", "botocore", "boto3", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    contracts = load_contracts(settings.contracts_directory)
    spark = create_session(f"lakehouse {layer}", settings)
    try:
        job = Job(declarations(spark, settings, contracts, layer, drain), settings.max_restarts, drain)
        job.stop_on_signals()
        job.run()
    finally:
        spark.stop()
