"""A Unix socket of a Ray worker's, at which the executors on its node reach it."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from pipelines.landing import Address

_WAITING_CONNECTIONS = 128


class NodeSocket:
    """Listens within Ray's own directory on this node, and serves each connection in a thread of its own.

    Args:
        serve: is given each connection, which is closed when it returns.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        node: Any = ray._private.worker._global_node
        self._path = Path(node.get_sockets_dir_path()) / f"headrace-{uuid.uuid4().hex[:8]}"
        self._serve = serve
        self._connections: set[socket.socket] = set()
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
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts, as closing alone would not
        self._listener.close()
        return True

    def hang_up(self) -> None:
        """Break the connections off that are open still, so that serving them ends with an OSError."""
        for connection in tuple(self._connections):
            with suppress(OSError):  # the other end has closed it
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._connections.add(connection)
            threading.Thread(target=self._serve_and_close, args=(connection,), daemon=True).start()

    def _serve_and_close(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._serve(connection)
        finally:
            self._connections.discard(connection)
