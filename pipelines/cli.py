"""The command line: ``headrace run|plan|preview|validate|schema|predict|runs|connector|step|state|doctor``.

Exit codes: 0 done, 1 failed or interrupted, 2 wrong usage or a wrong spec. What an error means for the exit code is
decided in `main` alone, and no traceback is ever shown: the run's log has it.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from connectors.errors import ConnectorError
from pipelines.cli_connector import app as connector_app
from pipelines.cli_console import DONE, FAILED, WRONG, RunsOption, console
from pipelines.cli_runs import app as runs_app
from pipelines.cli_state import app as state_app
from pipelines.cli_step import app as step_app
from pipelines.errors import PipelineError, SpecError
from training.errors import TrainingError

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline


class _InterruptedError(Exception):
    """Ctrl-C, or SIGTERM; what was started has been taken down."""


class _Commands(TyperGroup):
    """The commands, with an interruption as an error like others: typer would end without a word."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, SystemExit) as error:  # Ray makes SystemExit of SIGTERM
            interrupted = _InterruptedError("interrupted; what was started has been taken down")
            interrupted.__notes__ = getattr(error, "__notes__", [])
            raise interrupted from error


app = typer.Typer(
    cls=_Commands,
    name="headrace",
    help="Raw text in one end, a trained and evaluated classifier out of the other.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runs_app, name="runs")
app.add_typer(connector_app, name="connector")
app.add_typer(step_app, name="step")
app.add_typer(state_app, name="state")

SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="The pipeline's YAML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change an option, as train.epochs=3 or steps.word_count.min=4."),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        arguments: what was written behind the command's name; None takes them from the process.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    # For module:function in a spec. Behind all others, so that nothing here hides what is installed.
    _look_for_modules_in(Path.cwd())
    try:
        app(arguments)
    except SpecError as error:
        _say(error, str(error))
        sys.exit(WRONG)
    except (PipelineError, ConnectorError, TrainingError, _InterruptedError) as error:
        _say(error, str(error))
        sys.exit(FAILED)
    except Exception as error:
        if not hasattr(error, "__notes__"):
            error.__notes__ = [f"traceback: {_keep_traceback(error)}"]
        _say(error, f"unexpected {type(error).__name__}: {error}")
        sys.exit(FAILED)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"headrace {metadata.version('headrace')}")
        raise typer.Exit(DONE)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Raw text in one end, a trained and evaluated classifier out of the other."""


@app.command()
def run(
    spec: SpecArgument,
    changes: SetOption = None,
    runs: RunsOption = Path("runs"),
    since: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Incremental: read on from here, as for a backfill.")
    ] = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Incremental: read all, and replace what the sink holds.")
    ] = False,
) -> None:
    """Run a pipeline and say where the report is."""
    from pipelines.progress import show_progress
    from pipelines.runner import run as run_pipeline

    pipeline = _load(spec, changes)
    if pipeline.train is None and pipeline.sink is None:
        raise SpecError(f"{spec}: a spec that is run needs train: or sink:, else its rows go nowhere")
    with _about(spec), show_progress() as listener:
        run_pipeline(pipeline, runs=runs, listener=listener, quiet=True, since=since, full_refresh=full_refresh)


@app.command()
def plan(spec: SpecArgument, changes: SetOption = None, runs: RunsOption = Path("runs")) -> None:
    """Show what a run would do, and start nothing."""
    from pipelines.plan import describe_plan

    pipeline = _load(spec, changes)
    with _about(spec):
        table = describe_plan(pipeline, runs)
    console().print(table)


@app.command()
def preview(
    spec: SpecArgument,
    changes: SetOption = None,
    rows: Annotated[int, typer.Option("-n", "--rows", min=1, help="How many kept rows to show.")] = 20,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show the first rows after the row steps.

    Those that are rejected on the way to them are shown as well, up to as many. A schema contract holds them to what
    runs of the pipeline have agreed on.
    """
    from pipelines.agreed_schema import Agreement
    from pipelines.preview import preview as look
    from pipelines.preview import preview_table

    pipeline = _load(spec, changes)
    out = console()
    with _about(spec):
        agreement = Agreement.of(pipeline, runs, lambda text: out.print(text, highlight=False))
        found, left_out = look(pipeline, rows, agreement)
    out.print(preview_table(found))
    if left_out:
        out.print(f"not applied here, from the first table step on: {', '.join(left_out)}", highlight=False)


@app.command()
def validate(spec: SpecArgument, changes: SetOption = None) -> None:
    """Check a spec and list all its faults with their lines."""
    pipeline = _load(spec, changes)
    typer.echo(f"{spec}: {pipeline.name} is a valid pipeline ({pipeline.spec_hash[:12]})")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from pipelines.spec_schema import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))


@app.command()
def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's directory, as a run leaves one.")],
    texts: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A file of texts, one a line, in UTF-8; else stdin."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="How many texts the model sees at once.")] = 64,
) -> None:
    """Classify texts, one a line, as lines of JSON."""
    from pipelines.bundle import Bundle
    from pipelines.scoring import predict_lines

    with _opened(texts) as lines:
        loaded = Bundle.load(bundle)
        try:
            predict_lines(loaded, lines, sys.stdout, batch)
        except UnicodeDecodeError as error:
            wrong = f"byte 0x{error.object[error.start]:02x}"
            raise SpecError(f"{texts or 'standard input'} is not UTF-8 ({wrong}); convert it with iconv") from error


@app.command()
def doctor() -> None:
    """Look at Java, versions and memory, and name the cures."""
    from pipelines import preflight
    from pipelines.session_options import SessionOptions

    checks = [*preflight.check_machine(SessionOptions()), preflight.check_shadowing(Path.cwd())]
    table = Table(box=None, pad_edge=False)
    for title in ("", "what", "found", "cure"):
        table.add_column(title, overflow="fold")
    for check in checks:
        mark = "[green]ok[/green]" if check.ok else "[red]wrong[/red]"
        table.add_row(mark, check.name, escape(check.found), "" if check.ok else escape(check.cure))
    for check in preflight.check_lock():
        table.add_row("[yellow]untested[/yellow]", check.name, escape(check.found), escape(check.cure))
    console().print(table)
    if not all(check.ok for check in checks):
        raise typer.Exit(FAILED)


def _interrupt_once(signal_number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for the first signal; what then is taken down is not disturbed by further ones."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore_signal)
    raise KeyboardInterrupt


def _ignore_signal(signal_number: int, frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, this is not inherited by the processes that are started."""


def _look_for_modules_in(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.append(str(directory))


def _load(spec: Path, changes: Sequence[str] | None) -> Pipeline:
    """Return the pipeline of a spec, whose functions may be beside it, too."""
    from pipelines.spec import load

    _look_for_modules_in(spec.absolute().parent)
    return load(spec, changes or ())


@contextmanager
def _about(spec: Path) -> Iterator[None]:
    """Have the errors of what is done with a spec name the file."""
    try:
        yield
    except (PipelineError, ConnectorError, TrainingError) as error:
        error.args = (f"{spec}: {error}",)
        raise


@contextmanager
def _opened(texts: Path | None) -> Iterator[TextIO]:
    if texts is None:
        sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdin
        return
    if not texts.is_file():
        raise SpecError(f"{texts} is no file of texts; name one with a text on each line")
    with texts.open(encoding="utf-8") as file:
        yield file


def _say(error: BaseException, message: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[red]error:[/red] {escape(message)}")
    for note in getattr(error, "__notes__", ()):
        console.print(f"  {escape(note)}")


def _keep_traceback(error: Exception) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="headrace-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return file.name
