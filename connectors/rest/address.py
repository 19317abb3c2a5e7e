"""Connecting to addresses that were checked: a name is looked up once, and what it led to is what is connected to."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.errors import ConnectionCutError, SourceError

if TYPE_CHECKING:
    import httpx2

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass
class CheckedTransport:
    """Sends requests to the addresses that their hosts' names have, once all of those were checked.

    The name is looked up here, and the connection goes to what was found, so that a server of names which answers
    otherwise the next time (DNS rebinding) gets nothing. Certificates are held against the name. Proxies are not used.

    Attributes:
        allow_private: whether loopback, private, link-local and other addresses that are not of the internet may be
            connected to.
    """

    allow_private: bool
    _hosts: dict[tuple[str, int], tuple[tuple[str, ...], httpx2.HTTPTransport]] = field(default_factory=dict)

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """Return the response to a request, whose body is yet to be read.

        Raises:
            SourceError: the name leads to an address that is not allowed.
            ConnectionCutError: the name cannot be looked up.
            httpx2.TransportError: the server cannot be reached, or breaks off.
        """
        import httpx2

        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        if (host, port) not in self._hosts:
            # One a host: a connection whose certificate was held against another name is not to be used.
            secure = request.url.scheme == "https"
            self._hosts[host, port] = self._addresses(host, port), httpx2.HTTPTransport(verify=secure)
        addresses, transport = self._hosts[host, port]
        for number, address in enumerate(addresses, 1):
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,  # with the name as Host
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return transport.handle_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if number == len(addresses):
                    self._hosts.pop((host, port))[1].close()
                    raise
        raise AssertionError("a name that was looked up has an address")

    def close(self) -> None:
        """Close all connections."""
        for _, transport in self._hosts.values():
            transport.close()
        self._hosts.clear()

    def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectionCutError(
                f"the host {host} cannot be looked up: {getattr(error, 'strerror', None) or error}; check the option "
                "'url', and this machine's connection"
            ) from error
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        refused = [address for address in addresses if not (self.allow_private or is_public(address))]
        if refused:
            raise SourceError(
                f"the host {host} has the address {refused[0]}, which is not of the public internet; if it is a server "
                "of yours, set allow_private: true"
            )
        return addresses


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public internet, and stands for none that is not."""
    plain = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(plain, ipaddress.IPv6Address):
        inner = plain.ipv4_mapped or plain.sixtofour or (plain.teredo[1] if plain.teredo else None)
        if plain in _NAT64:
            inner = ipaddress.IPv4Address(int(plain) & 0xFFFFFFFF)
        if inner is not None:
            plain = inner
    return plain.is_global and not plain.is_multicast
