"""An object store of the tests' own: moto's S3, which can be told to fail, and tells good keys from bad ones."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.errors import SourceError
from connectors.object_store.storage import Location, StorageOptions

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SECRET = "wJalr/planted+secret=S3"
OWNER, READER = "AKIAOWNER", "AKIAREADER"
"""Keys that may do everything, and that may read; others are not known."""


@dataclass
class Fault:
    """How requests fail: some of those to a place.

    Attributes:
        method: of the request.
        part: of its path.
        code: S3's error code; ``cut`` ends the answer in the middle.
        status: of the answer.
        times: how often.
    """

    method: str
    part: str
    code: str
    status: int = 503
    times: int = 1


@dataclass
class ObjectStore:
    """A store that is up.

    Attributes:
        port: where it listens, on 127.0.0.1.
        secret_file: a file with `SECRET`.
        faults: to come.
        requests: method and path of all that were made.
    """

    port: int
    secret_file: Path
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def options(self, **more: object) -> dict[str, Any]:
        """Return the options by which a connector reaches it."""
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "region": "us-east-1",
            "access_key_id": OWNER,
            "secret_access_key": f"${{file:{self.secret_file}}}",
            **more,
        }

    @property
    def filesystem(self) -> FileSystem:
        """The store, for whoever puts things there and looks after them."""
        return StorageOptions(**self.options()).filesystem(Location("s3", "any", ""), SourceError)

    def bucket(self) -> str:
        """Return a new bucket's address."""
        from pyarrow.fs import S3FileSystem

        name = f"bucket-{secrets.token_hex(6)}"
        S3FileSystem(
            access_key=OWNER,
            secret_key=SECRET,
            region="us-east-1",
            endpoint_override=f"http://127.0.0.1:{self.port}",
            allow_bucket_creation=True,
        ).create_dir(name)
        return f"s3://{name}"

    def put(self, address: str, data: bytes | str) -> None:
        """Put an object."""
        with self.filesystem.open_output_stream(Location.parse(address).path, compression=None) as stream:
            stream.write(data.encode() if isinstance(data, str) else data)

    def put_tree(self, directory: Path, address: str) -> None:
        """Put all files below a directory."""
        for path in directory.rglob("*"):
            if path.is_file():
                self.put(f"{address}/{path.relative_to(directory).as_posix()}", path.read_bytes())

    def names(self, address: str) -> list[str]:
        """Return the names of all objects below an address, sorted."""
        from pyarrow.fs import FileSelector, FileType

        path = Location.parse(address).path
        found = self.filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
        return sorted(info.path[len(path) + 1 :] for info in found if info.type == FileType.File)

    def read(self, address: str) -> bytes:
        """Return what an object holds."""
        with self.filesystem.open_input_stream(Location.parse(address).path, compression=None) as stream:
            data: bytes = stream.read()
        return data


@contextmanager
def running() -> Iterator[ObjectStore]:
    """Start a store in threads of this process, and end it with all that it holds."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *message: object) -> None:
            pass

    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with tempfile.TemporaryDirectory(prefix="headrace-s3-") as directory:
        secret_file = Path(directory, "secret")
        secret_file.write_text(SECRET)
        store = ObjectStore(0, secret_file)
        application = _Faulty(DomainDispatcherApplication(create_backend_app), store)
        server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
        store.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Faulty:
    """Answers some requests itself, and has the others answered."""

    def __init__(self, application: Callable[..., Iterable[bytes]], store: ObjectStore) -> None:
        self._application, self._store = application, store
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        with self._lock:
            self._store.requests.append(f"{method} {path}")
            fault = _denied(environ) or self._fault(method, path)
        if fault is None:
            return self._application(environ, start_response)
        if fault.code == "cut":
            return _cut(self._application(environ, start_response))
        body = f"<Error><Code>{fault.code}</Code><Message>{fault.code}</Message></Error>".encode()
        if method == "HEAD":
            body = b""
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body))), ("Connection", "close")]
        start_response(f"{fault.status} {fault.code}", headers)
        return [body]

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self._store.faults:
            if fault.times and fault.method == method and fault.part in path:
                fault.times -= 1
                return fault
        return None


def _denied(environ: dict[str, Any]) -> Fault | None:
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    key = authorization.partition("Credential=")[2].partition("/")[0]
    if key not in (OWNER, READER):
        return Fault("", "", "InvalidAccessKeyId" if key else "AccessDenied", 403)
    if key == READER and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return Fault("", "", "AccessDenied", 403)
    return None


def _cut(body: Iterable[bytes]) -> Iterator[bytes]:
    whole = b"".join(body)
    yield whole[: len(whole) // 2]
    raise ConnectionAbortedError("cut on purpose")
