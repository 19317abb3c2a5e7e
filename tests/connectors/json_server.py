"""An HTTP server of the tests' own, in a thread, whose answers each test gives."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Asked:
    """A request as it came in."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Reply:
    """What is answered: `body` as it is if it is bytes, else as JSON; `cut` says how many bytes less are sent."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class JsonServer:
    """The server: `answer` is called for each request, all of which are kept in `asked`."""

    url: str
    answer: Callable[[Asked], Reply] = lambda asked: Reply([])
    asked: list[Asked] = field(default_factory=list)

    def lists(self, records: list[dict[str, Any]], *, size: int = 100, at: str = "items", **more: object) -> None:
        """Answer with pages by offset or number, as the query says; `more` goes beside the records."""

        def answer(asked: Asked) -> Reply:
            wanted = int(asked.query.get("limit", asked.query.get("per_page", size)))
            start = int(asked.query.get("offset", (int(asked.query.get("page", 1)) - 1) * wanted))
            return Reply({at: records[start : start + wanted], **more})

        self.answer = answer

    def links(self, records: list[dict[str, Any]], *, size: int) -> None:
        """Answer with pages that link to the next one in a header."""

        def answer(asked: Asked) -> Reply:
            start = int(asked.query.get("after", 0))
            more = start + size < len(records)
            headers = {"Link": f'</x>; rel="prev", <?after={start + size}>; rel="next"'} if more else {}
            return Reply(records[start : start + size], headers=headers)

        self.answer = answer


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[JsonServer]:
    """Yield a server that runs; with a certificate, over https."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(parts.path, dict(parse_qsl(parts.query)), {k.lower(): v for k, v in self.headers.items()})
            server.asked.append(asked)
            reply = server.answer(asked)
            data = reply.data()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) - reply.cut])
            self.close_connection = bool(reply.cut)

        def log_message(self, *arguments: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    listener.handle_error = lambda *about: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    server = JsonServer(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def certificate_for(host: str, directory: Path) -> Path:
    """Write a certificate for a host, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the tests")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + written)
    return path
