"""`python -m tests.integration.planning_driver STREAM FOLDER`: prints how Spark plans a query on the stream, and what
the source hands to Spark and its tasks, pickled.
"""

import pickle
import sys
from pathlib import Path

from lakehouse.settings import Settings
from runtime.spark import create_session
from streaming.kinesis import KinesisDataSource


def main() -> None:
    stream, folder = sys.argv[1:]
    options = {"stream": stream, "ledger": f"{folder}/ledger"}
    source = KinesisDataSource(options)
    reader = source.streamReader(None)  # type: ignore[arg-type]
    told = [pickle.dumps(each) for each in (source, reader)]
    told += [pickle.dumps(each) for each in reader.partitions(reader.initialOffset(), reader.latestOffset())]
    for each in told:
        print("pickled:", each.decode("latin-1"))
    spark = create_session("plans", Settings(root=folder, state_directory=Path(folder)))
    spark.dataSource.register(KinesisDataSource)
    rows = spark.readStream.format("kinesis").options(**options).load()
    rows.explain(extended=True)
    writer = rows.writeStream.format("noop").option("checkpointLocation", f"{folder}/checkpoint")
    query = writer.trigger(processingTime="0 seconds").start()
    query.processAllAvailable()
    query.explain(extended=True)
    print(query.lastProgress)
    query.stop()
    spark.stop()


if __name__ == "__main__":
    main()
