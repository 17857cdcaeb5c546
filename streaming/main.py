"""One streaming job from start to end, wherever it runs: the leases, the session, the queries."""

import logging

from lakehouse.contracts import load_contracts
from lakehouse.settings import Settings
from runtime.leases import Leases
from runtime.spark import create_session
from streaming.job import LISTENING, Job, Requests
from streaming.layers import declarations, tables_of

log = logging.getLogger(__name__)


def run(layer: str, drain: bool, settings: Settings) -> None:
    """Runs the layer's queries until SIGTERM or, with `drain`, until all that had arrived is through.

    Raises LeaseHeldError when another process writes one of the tables, and LakehouseError when a table does not fit
    its contract or a query fails too often.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for noisy in ("py4j", "botocore", "boto3", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # Before the session: a job that is told to end while it starts ends as it should.
    requests = Requests(drain)
    requests.listen()
    log.info(LISTENING)
    contracts = load_contracts(settings.contracts_directory)
    with Leases(settings.root, f"stream {layer}", tables_of(settings, contracts, layer)) as leases:
        spark = create_session(f"lakehouse {layer}", settings)
        # Spark takes Ctrl-C for itself when a session begins.
        requests.listen()
        try:
            queries = declarations(spark, settings, contracts, layer, drain, requests.stop.is_set)
            Job(queries, settings.max_restarts, requests, leases.check).run()
        finally:
            spark.stop()
