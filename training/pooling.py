"""How a sentence encoder says that the vectors of its tokens become the text's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Pooling: TypeAlias = Literal["mean", "cls", "max"]
"""How the vectors of a text's tokens become the text's: their mean, the first one, or their maximum."""


@dataclass(frozen=True)
class SentenceOptions:
    """What an encoder says of itself.

    Attributes:
        pooling: how to pool.
        normalize: whether to scale the text's vector to length one.
    """

    pooling: Pooling = "mean"
    normalize: bool = False


def sentence_options(place: str, *, offline: bool) -> SentenceOptions:
    """Return what a sentence-transformers model says in its ``modules.json``; the mean where there is none.

    Further layers that it may have behind the pooling are left out: the head takes their place.

    Args:
        place: a directory, or a name on the hub.
        offline: look in the local cache alone.
    """
    modules = _json_file(place, "modules.json", offline=offline)
    if not isinstance(modules, list):
        return SentenceOptions()
    paths = {str(module["type"]).rpartition(".")[2]: str(module.get("path", "")) for module in modules}
    normalize = "Normalize" in paths
    options = _json_file(place, f"{paths['Pooling']}/config.json", offline=offline) if "Pooling" in paths else None
    ways: tuple[tuple[Pooling, str], ...] = (
        ("mean", "pooling_mode_mean_tokens"),
        ("cls", "pooling_mode_cls_token"),
        ("max", "pooling_mode_max_tokens"),
    )
    for way, key in ways:
        if options and (options.get(key) or options.get("pooling_mode") == way):
            return SentenceOptions(way, normalize)
    return SentenceOptions(normalize=normalize)


def _json_file(place: str, name: str, *, offline: bool) -> Any:
    from transformers.utils.hub import cached_file

    path = cached_file(
        place,
        name,
        local_files_only=offline,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return json.loads(Path(path).read_text("utf-8")) if path else None
