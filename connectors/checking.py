"""Running a contract's checks outside pytest, one by one: what ``headrace connector test`` does."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Checked:
    """How a check came out.

    Attributes:
        name: the check's, as in ``test_every_row_has_a_text``.
        error: what was found; empty where nothing was.
        skipped: why the check was not made; empty where it was.
    """

    name: str
    error: str = ""
    skipped: str = ""


def check(contract: object, fixtures: Callable[[], Mapping[str, object]]) -> Iterator[Checked]:
    """Make every check of a contract, and yield how each came out, in the order that they are written in.

    Args:
        contract: a `connectors.testing.SourceContract` or `SinkContract`.
        fixtures: gives what a check takes by name (``source`` and ``scan``, or ``sink`` and ``write``); called for each
            check, since a sink's target is to be empty at its beginning.
    """
    for name in check_names(type(contract)):
        make = getattr(contract, name)
        given = fixtures()
        try:
            make(**{parameter: given[parameter] for parameter in inspect.signature(make).parameters})
        except pytest.skip.Exception as skipped:
            yield Checked(name, skipped=str(skipped))
        except (Exception, pytest.fail.Exception) as error:
            yield Checked(name, error=_said(error))
        else:
            yield Checked(name)


def check_names(contract: type) -> tuple[str, ...]:
    """Return the names of a contract's checks, in the order that they are written in."""
    return tuple(
        dict.fromkeys(name for base in reversed(contract.__mro__) for name in vars(base) if name.startswith("test_"))
    )


def _said(error: BaseException) -> str:
    """Return what an error says; of a bare assertion, the line that does not hold."""
    if str(error):
        return f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error)
    line = traceback.extract_tb(error.__traceback__)[-1].line
    return f"does not hold: {line}" if line else type(error).__name__
