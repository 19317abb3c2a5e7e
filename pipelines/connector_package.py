"""A new connector's package: a directory whose tests pass before its author has changed a line."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipelines.errors import SpecError
from pipelines.plugins import Kind, Registry

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


def new_package(directory: Path, name: str, kind: Kind) -> list[Path]:
    """Write the package of a new connector, and return its files.

    Args:
        directory: where its own directory is made.
        name: what YAML will call it, as in ``review_store``; its module's name, and its class's as ``ReviewStore``.
        kind: `pipelines.plugins.SOURCE` or `SINK`.

    Raises:
        SpecError: the name is none for a module, is taken, or there is something at that place.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise SpecError(f"{name!r} is no name for a connector: lower-case words joined by '_', like review_store")
    module = name.replace("-", "_")
    if module in Registry.installed().names(kind):
        raise SpecError(f"there is a {kind.name} called {module!r} already; headrace connector list shows all")
    home = directory / name
    if home.exists():
        raise SpecError(f"{home} exists, and nothing is written over it; choose another name or another --into")
    terms = {
        "kind": kind.name,
        "group": kind.group,
        "distribution": module.replace("_", "-"),
        "module": module,
        "class_name": "".join(word.capitalize() for word in module.split("_")),
    }
    templates = Environment(
        loader=PackageLoader("pipelines", "templates/connector"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    files = {
        home / "pyproject.toml": "pyproject.toml.jinja2",
        home / "README.md": "README.md.jinja2",
        home / module / "__init__.py": f"{kind.name}/module.py.jinja2",
        home / "tests" / "conftest.py": "conftest.py.jinja2",
        home / "tests" / f"test_{module}.py": f"{kind.name}/test.py.jinja2",
    }
    for path, template in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(templates.get_template(template).render(terms), encoding="utf-8")
    return list(files)
