"""Globs over the names of files, for lists of names that come from elsewhere than a file system."""

from __future__ import annotations

import re
from collections.abc import Callable


def matching(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a name below some root is meant by a glob: it, or a directory that it is in, matches.

    ``*``, ``?`` and ``[…]`` stand for characters but ``/``; ``**`` for any number of directories. The empty pattern
    means every name.
    """
    if not pattern:
        return lambda name: True
    wanted = re.compile(_regex([part for part in pattern.split("/") if part]))

    def means(name: str) -> bool:
        parts = name.split("/")
        return any(wanted.fullmatch("/".join(parts[:depth]) + "/") for depth in range(len(parts) + 1))

    return means


def is_hidden(name: str) -> bool:
    """Tell whether a name below some root is one that readers pass over: a part of it begins with ``.`` or ``_``."""
    return any(part.startswith((".", "_")) for part in name.split("/"))


def _regex(parts: list[str]) -> str:
    # The empty name, the root's own, is written '/' as all others end in one.
    return "/?" + "".join(r"(?:[^/]+/)*" if part == "**" else _part(part) + "/" for part in parts)


def _part(part: str) -> str:
    regex, index = "", 0
    while index < len(part):
        one = part[index]
        end = part.find("]", index + 2) if one == "[" else -1
        if end > 0:
            inside = part[index + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            regex += f"[^/{inside[1:]}]" if inside.startswith("!") else f"(?!/)[{inside}]"
            index = end
        else:
            regex += {"*": "[^/]*", "?": "[^/]"}.get(one, re.escape(one))
        index += 1
    return regex
