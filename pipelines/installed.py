"""What is installed here, told without importing it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

RECORDED = (
    "headrace",
    "ray",
    "raydp",
    "pyspark",
    "torch",
    "transformers",
    "tokenizers",
    "pyarrow",
    "pandas",
    "numpy",
)
"""The distributions whose versions decide what a run comes to."""


def installed_versions() -> dict[str, str]:
    """Return the versions of Python, the platform and `RECORDED`, by name; one may be ``not installed``."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    return versions | {name: _version(name) for name in RECORDED}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
