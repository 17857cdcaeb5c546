"""The `lakehouse` command: options and exit codes. What a command does is in `local/commands/<name>.py`.

Those modules are imported only when their command runs, so that `lakehouse --help` does not wait for Spark.
Exit codes: 0 done, 1 failed (one line says why), 2 wrong use, 130 after Ctrl-C, 143 after SIGTERM.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from lakehouse.errors import LakehouseError
from local.sql_examples import EXAMPLES
from local.surroundings import from_outside, leave_out_python_path, print_anything, settle_profile
from runtime import jvm

if TYPE_CHECKING:
    from lakehouse.settings import Settings

FAILED, INTERRUPTED, TERMINATED = 1, 130, 143

app = typer.Typer(
    name="lakehouse",
    help="A retail lakehouse on one machine: streams and files in, KPIs per team out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Root = Annotated[str | None, typer.Option(help="The lake: a folder or s3://bucket/prefix.", show_default=False)]
Landing = Annotated[
    str | None, typer.Option(help="Where files arrive, under <source>/: a folder or s3://bucket/prefix.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def options(
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with settings (default: LAKEHOUSE_CONFIG, else ./lakehouse.toml if there is one). "
            "LAKEHOUSE_* variables win over it, flags over both.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """A retail lakehouse on one machine: streams and files in, KPIs per team out."""
    if config is not None:
        if not config.is_file():
            raise LakehouseError(f"--config {config}: there is no such file")
        os.environ["LAKEHOUSE_CONFIG"] = str(config.resolve())


@app.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(
            envvar="LAKEHOUSE_EMULATOR_PORT",
            min=0,
            max=65535,
            help="Port of the emulator; 0 takes any free one. Default: the running one's, else 4566.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the local stack: an emulator of S3 and Kinesis, with the buckets and streams of the settings.

    With AWS_ENDPOINT_URL set nothing is started: the emulator that runs there is used.
    """
    from local.commands import up as command

    command.run(port=port, json=as_json, settings=_settings())


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the local stack. Its buckets and streams end with it; the log stays."""
    from local.commands import down as command

    command.run(json=as_json, settings=_settings())


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show what runs: endpoint, buckets and streams. The exit code is 1 when nothing does."""
    from local.commands import status as command

    if not command.run(json=as_json, settings=_settings()):
        raise typer.Exit(FAILED)


@app.command()
def demo(
    days: Annotated[int | None, typer.Option(min=1, help="Days of real till data.", show_default=False)] = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Events per second.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is derived.", show_default=False)] = None,
    root: Root = None,
    json: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the figures to this file too.", show_default=False)
    ] = None,
) -> None:
    """Run everything once: real data in, a job killed and restarted on the way, KPIs and a proof out."""
    from local.commands import demo as command

    command.run(days=days, rate=rate, seed=seed, json=json, settings=_settings(root=root))


@app.command()
def produce(
    stream: Annotated[str, typer.Argument(help="Kinesis stream, or the source that arrives on it.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="One record a line, bytes as they are.")],
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Records per second; default: as fast as it goes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the lines of a file on a stream, and print the count and the first and last sequence number per shard.

    The partition key is the record's user_id, session_id or customer_id (the first there is), so that one visitor's
    or customer's records stay in order in one shard; a hash of the bytes when there is none.
    """
    from local.commands import produce as command

    command.run(stream=stream, file=file, rate=rate, json=as_json, settings=_connected(f"stream {stream}"))


@app.command()
def sample(
    to: Annotated[str, typer.Option(help="Where files go, under <source>/: a folder or s3://bucket/prefix.")],
    streams: Annotated[bool, typer.Option("--streams", help="Put events on the streams of the settings too.")] = False,
    days: Annotated[int, typer.Option(min=1, help="How many days of tills, stock and campaigns.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Put reference data, files and events that fit the contracts where the jobs look for them, for a first KPI."""
    from local.commands import sample as command

    settings = _connected("--streams" if streams else f"--to {to}") if streams or to.startswith("s3") else _settings()
    command.run(to=to, streams=streams, days=days, json=as_json, settings=settings)


@app.command()
def batch(
    source: Annotated[
        Literal["reference", "pos", "inventory", "campaigns", "all"],
        typer.Argument(help="What to ingest; reference is stores, warehouses and products; all begins with it."),
    ],
    landing: Landing = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Take new files from the landing area into bronze, each exactly once."""
    from local.commands import batch as command

    command.run(source=source, json=as_json, settings=_on_lake(root=root, landing=landing))


@app.command("try")
def try_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file as the source delivers it.")],
    source: Annotated[str, typer.Option(help="Whose contract reads it, such as pos.")],
    as_json: AsJson = False,
) -> None:
    """Show what a file would give without taking it in, what would be rejected and why, and the dialect to declare."""
    from local.commands import try_file as command

    command.run(file=file, source=source, json=as_json, settings=_settings())


@app.command()
def quality(
    source: Annotated[
        str | None, typer.Argument(help="Such as pos; default: every source.", show_default=False)
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """List why records are rejected: first what is wrong with whole files, then with single records."""
    from local.commands import quality as command

    command.run(source=source, json=as_json, settings=_on_lake(root=root))


@app.command()
def stream(
    layer: Annotated[Literal["bronze", "silver", "gold", "all"], typer.Argument(help="Which queries to run.")],
    drain: Annotated[bool, typer.Option("--drain", help="End when all that had arrived is through.")] = False,
    root: Root = None,
) -> None:
    """Run the streaming queries of a layer until SIGTERM; the running batch is finished first."""
    from local.commands import stream as command

    settings = _on_lake(root=root)
    command.run(layer=layer, drain=drain, settings=settings)


@app.command(epilog="Examples:\n\n" + EXAMPLES.replace("\n", "\n\n"))
def sql(
    query: Annotated[str, typer.Argument(help="Such as: select * from gold.sales_kpis limit 5")],
    root: Root = None,
    output: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="How to print rows.")] = "table",
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE=VERSION", help="Read a table as of a version; may be repeated.", show_default=False
        ),
    ] = None,
) -> None:
    """Query the lake without Spark: bronze.pos, silver.validated_pos, rejected.pos, gold.sales_kpis and so on."""
    from local.commands import sql as command

    command.run(query=query, format=output, at=at or (), settings=_on_lake(root=root))


@app.command()
def tables(root: Root = None, as_json: AsJson = False) -> None:
    """List the tables of the lake: rows, newest record, last commit, owner and what a row is."""
    from local.commands import tables as command

    command.run(json=as_json, settings=_on_lake(root=root))


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="A KPI such as net_sales, or a table such as gold.sales_kpis.")],
    as_json: AsJson = False,
) -> None:
    """Explain a KPI (what it means, counts and leaves out, its SQL) or a table (its columns and who may read them)."""
    from local.commands import describe as command

    command.run(name=name, json=as_json, settings=_settings())


@app.command()
def dashboard(
    root: Root = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the web page.")] = 8050,
) -> None:
    """Serve the dashboard: a page per team and one of the pipeline's health."""
    from local.commands import dashboard as command

    command.run(port=port, settings=_on_lake(root=root))


@app.command()
def lineage(
    table: Annotated[str, typer.Argument(help="Such as gold.sales_kpis.")],
    version: Annotated[
        int | None, typer.Option(min=0, help="Version of the table; default: the latest.", show_default=False)
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Show where a table's rows came from, back to files and sequence numbers."""
    from local.commands import lineage as command

    command.run(table=table, version=version, json=as_json, settings=_on_lake(root=root))


@app.command()
def drift(
    source: Annotated[
        str | None, typer.Argument(help="Such as pos; default: every source.", show_default=False)
    ] = None,
    commits: Annotated[int, typer.Option(min=1, help="How many commits to look back in each table.")] = 1000,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """List the fields that come in records and that no contract declares, with how often and since when."""
    from local.commands import drift as command

    command.run(source=source, commits=commits, json=as_json, settings=_on_lake(root=root))


@app.command()
def redrive(
    source: Annotated[str, typer.Argument(help="Source whose rejected rows go through again, such as pos.")],
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Put rejected rows through again after a contract or a reference was mended; what passes leaves rejected."""
    from local.commands import redrive as command

    command.run(source=source, json=as_json, settings=_on_lake(root=root))


@app.command()
def reconcile(
    sources: Annotated[list[str] | None, typer.Argument(help="Such as pos crm; none means all.")] = None,
    since: Annotated[
        int | None,
        typer.Option(min=0, help="Prove only what came after this version of SOURCE's bronze.", show_default=False),
    ] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Prove, while the jobs run, that bronze = silver + rejected, and silver and every KPI = a recomputation.

    The exit code is 1 when anything differs; the rows and the commits that wrote them are shown.
    """
    from local.commands import reconcile as command

    settings = _on_lake(root=root)
    if not command.run(sources=sources or (), since=since, json=as_json, settings=settings):
        raise typer.Exit(FAILED)


@app.command()
def maintain(
    tables: Annotated[list[str] | None, typer.Argument(help="Such as bronze.pos; none means all.")] = None,
    root: Root = None,
    as_json: AsJson = False,
) -> None:
    """Compact tables that no job writes at the moment, and remove files that time travel no longer needs."""
    from local.commands import maintain as command

    command.run(tables=tables or (), json=as_json, settings=_on_lake(root=root))


def _settings(**flags: str | None) -> "Settings":
    from lakehouse.settings import load_settings

    return load_settings(**flags)


def _on_lake(**flags: str | None) -> "Settings":
    """The settings of a command that works on a lake; AWS clients of this process are led to the local stack."""
    settings = _settings(**flags)
    return _connected(f"root {settings.root}" if settings.root.startswith(("s3://", "s3a://")) else None, **flags)


def _connected(needed_by: str | None, **flags: str | None) -> "Settings":
    """Puts the local stack's AWS_* variables in this process's environment, which its children get too.

    `needed_by` says what cannot do without AWS. Raises LakehouseError when there is neither a stack nor any sign of
    an AWS account on this machine.
    """
    from local import stack

    settings = _settings(**flags)
    os.environ.update(stack.environment(settings))
    settle_profile(needed_by)
    has_account = any(name.startswith("AWS_") for name in os.environ) or os.path.isdir(os.path.expanduser("~/.aws"))
    if needed_by is not None and not has_account:
        raise LakehouseError(
            f"{needed_by} needs the local stack or AWS: run `lakehouse up`, or set AWS_ENDPOINT_URL or credentials "
            "(AWS_REGION is enough where the machine has a role)"
        )
    return settings


def main() -> NoReturn:
    """The program: runs one command and ends the process with its exit code."""
    leave_out_python_path()
    print_anything()
    # Without this, SIGTERM would skip every `finally` and leave child processes behind.
    signal.signal(signal.SIGTERM, _end_on_signal)
    jvm.watch()
    try:
        app()
    except LakehouseError as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        known = jvm.gone() or from_outside(error)
        if known is None:
            raise
        _fail(known)
    sys.exit(0)


def _fail(error: LakehouseError) -> NoReturn:
    print(f"lakehouse: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(FAILED)


def _end_on_signal(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)
