"""The command line for those who add connectors: ``headrace connector list|show|new|test``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipelines.cli_console import FAILED, console, options_table
from pipelines.errors import PipelineError, SpecError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pipelines.plugins import Kind

app = typer.Typer(help="List, show, make and test connectors.", no_args_is_help=True)


class KindName(str, Enum):
    """The kinds of connectors."""

    source = "source"
    sink = "sink"

    @property
    def kind(self) -> Kind:
        """The kind of plug-in that it names."""
        from pipelines.plugins import SINK, SOURCE

        return SOURCE if self is KindName.source else SINK


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As in a spec: a registered name or module:Class.")]


@app.command("list")
def list_connectors() -> None:
    """List the sources and sinks that are installed."""
    from pipelines.plugins import SINK, SOURCE, Registry
    from pipelines.spec_schema import first_sentence

    registry = Registry.installed()
    table = Table(box=None, pad_edge=False)
    for title in ("kind", "name", "class", "what it is"):
        # A class is there to be copied, so it stays in one piece.
        table.add_column(title, overflow="fold", no_wrap=title == "class")
    for kind in (SOURCE, SINK):
        for name in registry.names(kind):
            try:
                found = registry.find(kind, name)
                where, what = f"{found.__module__}:{found.__qualname__}", first_sentence(found)
            except SpecError as error:
                where, what = "", str(error)
            table.add_row(kind.name, name, escape(where), escape(what))
    console().print(table)


@app.command("show")
def show_connector(name: NameArgument) -> None:
    """Show the options of a source, a sink, or both."""
    for kind, connector in _find(name):
        console().print(f"[bold]{kind.name} {escape(name)}[/bold]  {connector.__module__}:{connector.__qualname__}")
        console().print(options_table(connector))


@app.command("new")
def new_connector(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What YAML will call it, like review_store.")],
    kind: Annotated[KindName, typer.Option(help="What it is to be.")] = KindName.source,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Where its directory is made.")] = Path("."),
) -> None:
    """Write the package of a new connector, whose tests pass."""
    from pipelines.connector_package import new_package

    for path in new_package(into, name, kind.kind):
        typer.echo(path)
    typer.echo(f'next: cd {into / name} && pip install -e ".[test]" && pytest')


@app.command("test")
def check_source(
    name: NameArgument,
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[OPTION=VALUE]...", help="Its options, like path=reviews/.")
    ] = None,
) -> None:
    """Hold a source, with the data behind it, to the contract of sources.

    It is read several times, in this process. A sink's contract needs to read back what was written, which takes a
    test of its own: see headrace connector new --kind sink.
    """
    from pipelines.spec import parse

    spec = f"name: connector-test\nsource: {{type: {name!r}}}\n"
    contract, fixtures = _contract(parse(spec, [f"source.{one}" for one in options or ()], origin=name).source)
    from connectors.checking import check

    wrong = 0
    for checked in check(contract, fixtures):
        wrong += bool(checked.error)
        mark = "[red]fails[/red]" if checked.error else "[dim]skip[/dim]" if checked.skipped else "[green]ok[/green]"
        said = checked.error or checked.skipped
        title = checked.name.removeprefix("test_").replace("_", " ")
        console().print(f"{mark}  {title}{': ' + escape(said) if said else ''}", highlight=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(FAILED)


def _contract(source: Any) -> tuple[object, Any]:
    try:
        from connectors import testing
    except ImportError as error:
        raise PipelineError(f"the contract is made of tests ({error}); pip install pytest") from error
    from connectors.source import PartitionedSource

    if not isinstance(source, PartitionedSource):
        raise SpecError(f"{type(source).__name__} is read by Spark itself; the contract is that of a PartitionedSource")
    return testing.SourceContract(), lambda: {"source": source}


def _find(name: str) -> list[tuple[Kind, type[BaseModel]]]:
    from pipelines.plugins import SINK, SOURCE, Registry

    registry = Registry.installed()
    if ":" in name:
        for kind in (SOURCE, SINK):
            try:
                return [(kind, registry.find(kind, name))]
            except SpecError as error:
                failure = error
        raise failure
    found = [(kind, registry.find(kind, name)) for kind in (SOURCE, SINK) if name in registry.names(kind)]
    return found or [(SOURCE, registry.find(SOURCE, name))]
