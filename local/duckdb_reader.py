"""A DuckDB that can read Delta tables under one root and can do nothing else: no download, no write, no other file."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import duckdb

from lakehouse.errors import LakehouseError
from runtime.region import region


def open_reader(root: str) -> duckdb.DuckDBPyConnection:
    """A database in memory that may read what lies below `root` (a full folder path or s3://) and nothing else.

    Nothing that runs in it later can widen that. Raises LakehouseError when an extension is not installed.
    """
    database = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"lakehouse-sql-{os.getpid()}"),
        },
    )
    for name in ("httpfs", "delta") if root.startswith("s3://") else ("delta",):
        database.execute(f"LOAD {literal(str(extension_path(name)))}")
    database.execute("SET TimeZone = 'UTC'")
    database.execute(f"SET allowed_directories = [{literal(root + '/')}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def extension_path(name: str) -> Path:
    """The file of a DuckDB extension that the package `duckdb-extension-<name>` brings.

    Raises LakehouseError when the package is missing or made for another DuckDB.
    """
    package = find_spec(f"duckdb_extension_{name}")
    folders = list(package.submodule_search_locations or ()) if package else []
    wanted = Path(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension")
    for folder in folders:
        if (Path(folder) / wanted).is_file():
            return Path(folder) / wanted
    raise LakehouseError(
        f"DuckDB's {name} extension for version {duckdb.__version__} is not installed: "
        f"install the package duckdb-extension-{name}=={duckdb.__version__}"
    )


def s3_secret(root: str, session: boto3.session.Session) -> str:
    """The statement that gives DuckDB endpoint and credentials for `root`: AWS_* variables, else where boto3 looks.

    A session that is kept renews the credentials of a role in time. Raises LakehouseError when there are none.
    """
    found = session.get_credentials()
    if found is None:
        raise LakehouseError(f"no AWS credentials for {root}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    credentials = found.get_frozen_credentials()
    options = {
        "TYPE": "s3",
        "SCOPE": literal(root),
        "KEY_ID": literal(credentials.access_key or ""),
        "SECRET": literal(credentials.secret_key or ""),
        "REGION": literal(region() or "us-east-1"),
    }
    if credentials.token:
        options["SESSION_TOKEN"] = literal(credentials.token)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        address = urlsplit(endpoint)
        options |= {
            "ENDPOINT": literal(address.netloc + address.path.rstrip("/")),
            "URL_STYLE": "'path'",
            "USE_SSL": str(address.scheme != "http").lower(),
        }
    return f"CREATE OR REPLACE SECRET lake ({', '.join(f'{name} {value}' for name, value in options.items())})"


def literal(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    """The text as an SQL name."""
    return '"' + text.replace('"', '""') + '"'
