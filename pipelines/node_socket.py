"""A Unix socket of a Ray worker's, at which the executors on its node reach it."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from pipelines.landing import Address

_WAITING_CONNECTIONS = 128


class NodeSocket:
    """Listens within Ray's own directory on this node, and serves each connection in a thread of its own.

    Args:
        serve: is given each connection, and closes it.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        node: Any = ray._private.worker._global_node
        self._path = Path(node.get_sockets_dir_path()) / f"headrace-{uuid.uuid4().hex[:8]}"
        self._serve = serve
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen(_WAITING_CONNECTIONS)
        threading.Thread(target=self._accept, name="headrace-accept", daemon=True).start()

    @property
    def address(self) -> Address:
        """Where it listens; a Ray worker's parent is its node's raylet."""
        return Address(str(self._path), os.getppid())

    def close(self) -> bool:
        """Take no further connections, and take the socket's file away; return False if that was done before."""
        if not self._path.exists():
            return False
        self._path.unlink()
        self._listener.close()
        return True

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
