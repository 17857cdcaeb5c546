"""Where everything lies under a root. Names and joins only: this never touches a disk or a bucket."""

from dataclasses import dataclass

from lakehouse.errors import LakehouseError

LAYERS = ("bronze", "silver", "gold", "rejected")


@dataclass(frozen=True)
class Layout:
    """The paths of one lake.

    `root` is a folder (`/data/lake`, `./lake`) or `s3://bucket/prefix`; `s3a://` is taken for `s3://`.
    """

    root: str

    def __post_init__(self) -> None:
        root = self.root.strip().rstrip("/")
        if not root:
            raise LakehouseError("root is empty: give a folder or s3://bucket/prefix")
        if root.startswith("s3a://"):
            root = "s3://" + root.removeprefix("s3a://")
        object.__setattr__(self, "root", root.removeprefix("file://"))

    def table(self, name: str) -> str:
        """The address of a table such as `silver.validated_pos` or `rejected.pos`."""
        layer, _, table = name.partition(".")
        if layer not in LAYERS or not table:
            raise LakehouseError(f"{name!r} is no table name: write one of {', '.join(LAYERS)}, a dot and the table")
        return f"{self.root}/rejected/{table}/bad_rows" if layer == "rejected" else f"{self.root}/{layer}/{table}"

    def checkpoint(self, layer: str, query: str) -> str:
        """The folder where a query of a layer keeps its progress: `checkpoints/<layer>/<query>`."""
        return f"{self.root}/checkpoints/{layer}/{query}"

    def lease(self, table: str) -> str:
        """The folder with the lease on a table such as `silver.validated_pos`: `checkpoints/<layer>/leases/<table>`."""
        layer, _, name = table.partition(".")
        return f"{self.root}/checkpoints/{layer}/leases/{name}"


def spark_path(uri: str) -> str:
    """The address as Hadoop's S3A client spells it; a folder stays as it is."""
    return "s3a://" + uri.removeprefix("s3://") if uri.startswith("s3://") else uri
