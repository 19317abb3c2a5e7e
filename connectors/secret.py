"""Secrets that stay references until the moment of use."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from connectors.errors import SecretError
from connectors.files.paths import BASE_DIRECTORY

_SECRET_NAME = re.compile(r"password|passwd|secret|token|credential|access\.key|account\.key", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{(env|file):([^}]+)\}")


class Secret(RootModel[str]):
    """A reference to a secret, written ``${env:NAME}`` or ``${file:PATH}``; never the secret itself.

    The reference is what a spec, a repr, a log and a run record show, and what equality is by. `resolve` reads the
    value when it is needed. A relative path is made absolute at once, as a `PathOption` is, because executors work in
    other directories.

    Pickling takes along what the reference leads to here, for `resolve` on the other side: workers have the environment
    and the files of their own host, as they were when it joined the cluster, and not those of who runs the pipeline.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    _brought: SecretStr | None = PrivateAttr(default=None)

    @field_validator("root")
    @classmethod
    def _is_a_reference(cls, value: str, info: ValidationInfo) -> str:
        match = _REFERENCE.fullmatch(value)
        if not match:
            # The value is not shown: it may be the secret.
            raise ValueError("a secret is given by reference: ${env:NAME} or ${file:PATH}, not by its value")
        kind, name = match.groups()
        if kind == "env":
            return value
        base = (info.context or {}).get(BASE_DIRECTORY) or os.getcwd()
        return f"${{file:{os.path.normpath(os.path.join(base, os.path.expanduser(name)))}}}"

    def __eq__(self, other: object) -> bool:
        return self.root == other.root if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.root)

    def __reduce__(self) -> tuple[Callable[[str, SecretStr | None], Secret], tuple[str, SecretStr | None]]:
        try:
            return _arrived, (self.root, self.resolve())
        except SecretError:
            return _arrived, (self.root, None)

    def resolve(self) -> SecretStr:
        """Return the secret's value.

        Raises:
            SecretError: the variable is not set, or the file cannot be read.
        """
        if self._brought is not None:
            return self._brought
        match = _REFERENCE.fullmatch(self.root)
        assert match
        kind, name = match.groups()
        if kind == "env":
            if name not in os.environ:
                raise SecretError(f"{self.root}: the environment variable {name} is not set; export it and run again")
            return SecretStr(os.environ[name])
        try:
            return SecretStr(Path(name).read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SecretError(f"{self.root}: cannot read {name}: {reason}; mend the file or the reference") from error


def _arrived(reference: str, value: SecretStr | None) -> Secret:
    """Return a secret that was pickled elsewhere, with what it led to there."""
    secret = Secret(reference)
    secret._brought = value
    return secret


def _setting(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


SettingValue = Annotated[Secret | str, Field(union_mode="left_to_right"), BeforeValidator(_setting)]
"""What a setting of Spark's may be: what reads as a reference to a secret is one, the rest is text, and
YAML's ``true`` and ``8`` become the text that Spark takes."""


def sounds_secret(name: str) -> bool:
    """Tell whether a setting is, by its name, one that must be given as a `Secret`."""
    return bool(_SECRET_NAME.search(name))
