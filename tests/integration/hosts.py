"""Several hosts on one machine, made of namespaces, so that a test can lose one.

Each has an address, a name, processes, a ``/tmp`` and a ``/dev/shm`` of its own, so that nothing passes between two of
them but through the network, and through the directories that are shared on purpose. The first process of a host waits
for the end of its input, and takes all others of the host along: none outlives the tests, whatever ends them.

Run as ``python -m tests.integration.hosts NAME DIRECTORY ...``, in new namespaces, this module is that process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

ROOT = Path(__file__).parent.parent.parent

_NETWORK = "10.77.0"
_READY = "ready"
_START_SECONDS = 20.0
_END_SECONDS = 20.0
_OWN = (Path("/dev/shm"), Path("/tmp"))
_TOOLS = ("ip", "unshare", "nsenter", "mount")


class HostsError(Exception):
    """Hosts cannot be made on this machine."""


@dataclass(frozen=True)
class Host:
    """One of the hosts.

    Attributes:
        number: from 1.
        holder: ends with the host.
        first: its first process; all others end with it.
    """

    number: int
    holder: subprocess.Popen[str]
    first: psutil.Process

    @property
    def name(self) -> str:
        """Its host name, which all the hosts can resolve."""
        return f"host{self.number}"

    @property
    def address(self) -> str:
        """Its address."""
        return _address(self.number)

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` on this host, in the directory of the repository."""
        return [*_inside(self.first.pid, "mount", "net", "pid", "uts"), "env", f"--chdir={ROOT}", *command]

    def run(self, command: Sequence[str], environment: Mapping[str, str], seconds: float) -> str:
        """Run a command on this host and return what it prints.

        Raises:
            AssertionError: it failed.
            subprocess.TimeoutExpired: it took longer than `seconds`.
        """
        done = subprocess.run(
            self.command(command), env=dict(environment), capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill(self) -> None:
        """End every process on the host at once, as a power cut does; nothing gets to say goodbye."""
        self.first.kill()
        self.holder.wait(_END_SECONDS)


class Hosts:
    """Hosts on a network of their own, for the time of a ``with`` block.

    Args:
        count: how many.
        shared: directories that all of them see, writable, at the paths that they have here; what is neither below
            ``/tmp`` nor below ``/dev/shm`` is seen anyway.

    Raises:
        HostsError: this process may not make them, or a tool is missing.
    """

    def __init__(self, count: int, shared: Sequence[Path] = ()) -> None:
        self._count = count
        self._shared = [path.resolve() for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), *shared)]
        self._switch: subprocess.Popen[str] | None = None
        self._hosts: list[Host] = []

    def __enter__(self) -> Hosts:
        _require_tools()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts:
            if host.holder.poll() is None:
                host.kill()
            _close(host.holder)
        if self._switch is not None:
            self._switch.kill()
            self._switch.wait(_END_SECONDS)
            _close(self._switch)

    def __getitem__(self, number: int) -> Host:
        """Return the host of that number, from 1."""
        return self._hosts[number - 1]

    def cut(self, host: Host) -> None:
        """Take a host off the network; what is sent to it is lost without a word."""
        self._on_switch("ip", "link", "set", f"port{host.number}", "down")

    def _start(self) -> None:
        # The switch is a namespace, too, so that no interface is left behind on the machine.
        self._switch = _hold(["unshare", "--net", "sh", "-c", f"echo {_READY}; exec cat"])
        self._on_switch("ip", "link", "add", "switch", "type", "bridge")
        self._on_switch("ip", "link", "set", "switch", "up")
        for number in range(1, self._count + 1):
            self._hosts.append(self._host(number))

    def _host(self, number: int) -> Host:
        new = ("--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        be = (sys.executable, "-m", "tests.integration.hosts", f"host{number}", str(self._count))
        holder = _hold(["unshare", *new, *be, *map(str, self._shared)])
        [first] = psutil.Process(holder.pid).children()
        host = Host(number, holder, first)
        port, outside = f"port{number}", str(first.pid)
        self._on_switch("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", outside)
        self._on_switch("ip", "link", "set", port, "master", "switch", "up")
        for link in (["addr", "add", f"{host.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            _do([*_inside(first.pid, "net"), "ip", *link])
        _do([*_inside(first.pid, "net"), "ip", "link", "set", "lo", "up"])
        return host

    def _on_switch(self, *command: str) -> None:
        assert self._switch is not None
        _do([*_inside(self._switch.pid, "net"), *command])


_NEEDS = (
    "tests of several hosts need Linux, root with CAP_SYS_ADMIN (in a container: docker run --privileged), and the "
    f"tools {', '.join(_TOOLS)} (apt-get install iproute2 util-linux)"
)


def _require_tools() -> None:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        found = f"{', '.join(missing)} missing" if missing else f"this is user {os.geteuid()}"
        raise HostsError(f"{_NEEDS}; {found}")


def _hold(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a process that lasts until its input ends, with this process at the latest, and says when it is ready.

    Raises:
        HostsError: it ended before that.
    """
    pipe = subprocess.PIPE
    holder = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    assert holder.stdout is not None
    said = holder.stdout.readline()
    if said.strip() != _READY:
        said += holder.stdout.read()
        _close(holder)
        holder.wait(_END_SECONDS)
        raise HostsError(f"{' '.join(command[:8])} …: {said.strip()}; {_NEEDS}")
    return holder


def _close(holder: subprocess.Popen[str]) -> None:
    for stream in (holder.stdin, holder.stdout):
        if stream is not None:
            stream.close()


def _inside(process: int, *namespaces: str) -> list[str]:
    return ["nsenter", "--target", str(process), *(f"--{namespace}" for namespace in namespaces), "--"]


def _do(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_START_SECONDS, check=False)
    if done.returncode:
        raise HostsError(f"{' '.join(command)}: {done.stderr.strip()}; {_NEEDS}")


def _address(number: int) -> str:
    return f"{_NETWORK}.{number}"


def _be(name: str, count: int, shared: Sequence[Path]) -> None:
    """Be the first process of a host: give it what is its own, and wait."""
    _do(["hostname", name])
    # What is to be seen below a new /tmp is put aside meanwhile, on another file system that is new.
    _do(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", "/dev/shm"])
    hidden = [path for path in shared if any(path.is_relative_to(own) for own in _OWN)]
    for number, path in enumerate(hidden):
        aside = Path("/dev/shm/aside", str(number))
        aside.mkdir(parents=True)
        _do(["mount", "--bind", str(path), str(aside)])
    _do(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", "/tmp"])
    os.chmod("/tmp", 0o1777)
    for number, path in enumerate(hidden):
        path.mkdir(parents=True, exist_ok=True)
        _do(["mount", "--move", f"/dev/shm/aside/{number}", str(path)])
    shutil.rmtree("/dev/shm/aside", ignore_errors=True)
    names = [f"{_address(number)} host{number}\n" for number in range(1, count + 1)]
    Path("/tmp/hosts").write_text("127.0.0.1 localhost\n" + "".join(names))
    _do(["mount", "--bind", "/tmp/hosts", "/etc/hosts"])
    # Orphans become children of the first process, which has no use for how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(_READY, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _be(sys.argv[1], int(sys.argv[2]), [Path(path) for path in sys.argv[3:]])
