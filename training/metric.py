"""A user's own metric: written ``module:function`` in YAML, any callable in Python."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from training.errors import FitError

Metric: TypeAlias = Callable[[NDArray[np.object_], NDArray[np.object_], NDArray[np.float32]], float]
"""Takes the true labels, the predicted labels (both strings, ``[rows]``) and the probabilities (``[rows, classes]``, in
label order), and returns one number, of which more is better."""

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def load_metric(metric: str | Metric) -> Metric:
    """Return the function that an option names, importing its module.

    Raises:
        FitError: there is no such module, or no such function in it.
    """
    if not isinstance(metric, str):
        return metric
    module, _, name = metric.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FitError(
            f"metric {metric!r} cannot be found: {error}; write module:function, with the module importable from the "
            "working directory or installed, on every machine that trains"
        ) from error
    return cast(Metric, function)


def apply_metric(
    metric: Metric, true: NDArray[np.int64], probabilities: NDArray[np.float32], labels: tuple[str, ...]
) -> float:
    """Return what `metric` makes of the rows, as a finite float.

    Args:
        metric: the user's function.
        true: positions in `labels`, ``[rows]``.
        probabilities: ``[rows, classes]``.
        labels: the classes, in the order of the columns.

    Raises:
        FitError: the function raised, or returned something else than a finite number.
    """
    names = np.array(labels, dtype=object)
    called = getattr(metric, "__name__", repr(metric))
    try:
        value = float(metric(names[true], names[probabilities.argmax(axis=1)], probabilities))
    except Exception as error:
        raise FitError(
            f"metric {called!r} failed: {type(error).__name__}: {error}; it is called with (true labels, predicted "
            "labels, probabilities) and must return one number"
        ) from error
    if not math.isfinite(value):
        raise FitError(f"metric {called!r} returned {value}; it must return one finite number, of which more is better")
    return value


def _named(value: Any) -> Any:
    """Turn a function that can be imported into its reference, so that YAML and Python give equal options."""
    if isinstance(value, str):
        if not _REFERENCE.fullmatch(value):
            raise ValueError(f"{value!r} is not of the form module:function, e.g. mypackage.metrics:gain")
        return value
    if not callable(value):
        raise ValueError(f"{value!r} is neither module:function nor a function")
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    reference = f"{module}:{name}"
    if module in (None, "__main__") or not _REFERENCE.fullmatch(reference):
        return value
    return reference if getattr(importlib.import_module(str(module)), name, None) is value else value


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(
        f"the metric {getattr(value, '__qualname__', value)!r} lives in this program only and cannot be written to a "
        "file: put the function into a module and name it module:function"
    )


UserMetric: TypeAlias = Annotated[
    str | Callable[..., float],
    BeforeValidator(_named),
    PlainSerializer(_written, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_REFERENCE.pattern}$"}),
]
"""The type of an option that takes a metric; refuses to be written to JSON or YAML when it cannot be imported again."""
