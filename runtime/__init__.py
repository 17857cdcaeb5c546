"""The I/O edge that streaming and batch share: object storage, the Spark session, Delta tables and their commits."""
