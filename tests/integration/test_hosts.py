"""The hand-over on a cluster of two hosts: rows stay where they are made, and a host can be lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.java import find_java
from pipelines.ray_cluster import wait_until
from tests.integration.cluster_lives import EPOCHS, ROWS
from tests.integration.hosts import Host, Hosts

pytestmark = [pytest.mark.soak, pytest.mark.spark, pytest.mark.ray, pytest.mark.timeout(600)]

_RAY = str(Path(sys.executable).with_name("ray"))
_START_SECONDS = 90.0
_LIFE_SECONDS = 240.0


@dataclass(frozen=True)
class Cluster:
    """Two hosts for a Ray whose head is on the first.

    Attributes:
        hosts: the hosts.
        environment: of every process that joins.
        directory: seen by both.
    """

    hosts: Hosts
    environment: Mapping[str, str]
    directory: Path

    @property
    def address(self) -> str:
        return f"{self.hosts[1].address}:6379"

    def start(self, *numbers: int, cpus: Sequence[int] = (2, 2)) -> None:
        """Start a node on each host of these numbers, of so many CPUs; one host may have several."""
        way = ["--head", "--port=6379", "--include-dashboard=false"]
        for number, of_node in zip(numbers, cpus, strict=True):
            host = self.hosts[number]
            here = [f"--node-ip-address={host.address}", f"--num-cpus={of_node}"]
            size = [f"--object-store-memory={600 * 2**20}", "--disable-usage-stats"]
            host.run([_RAY, "start", *way, *here, *size], self.environment, _START_SECONDS)
            way = [f"--address={self.address}"]

    def life(self, name: str) -> Life:
        return Life.start(name, self)

    def lose(self, host: Host) -> None:
        """Take a host away, as a power cut does: its processes end, and what is sent to it is lost."""
        self.hosts.cut(host)
        host.kill()


@dataclass(frozen=True)
class Life:
    """A program on the first host; see `tests.integration.cluster_lives`."""

    process: subprocess.Popen[str]
    directory: Path

    @classmethod
    def start(cls, name: str, cluster: Cluster) -> Life:
        command = [sys.executable, "-m", "tests.integration.cluster_lives", name]
        with (cluster.directory / "stdout").open("w") as out, (cluster.directory / "stderr").open("w") as error:
            process = subprocess.Popen(
                cluster.hosts[1].command([*command, cluster.address, str(cluster.directory)]),
                env=dict(cluster.environment),
                stdout=out,
                stderr=error,
                text=True,
            )
        return cls(process, cluster.directory)

    def until(self, name: str, pattern: str = "") -> None:
        """Wait until the program has written what matches `pattern` to a file of that name."""
        path = self.directory / name

        def written() -> bool:
            return path.exists() and re.search(pattern, path.read_text()) is not None

        wait_until(lambda: self.process.poll() is not None or written(), _LIFE_SECONDS)
        assert self.process.poll() is None, self.errors()
        assert written(), self.errors()

    def seen(self) -> dict[str, Any]:
        """Wait for the end of the program, and return what it has seen."""
        code = self.process.wait(_LIFE_SECONDS)
        assert code == 0, self.errors()
        return dict(json.loads((self.directory / "stdout").read_text().splitlines()[-1]))

    def errors(self) -> str:
        return (self.directory / "stderr").read_text()[-8000:]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    environment = {
        **os.environ,
        **find_java().environment(os.environ),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": uuid.uuid4().hex,
        "PYTHONHASHSEED": "0",  # the same hashes in every process
        # A host that has gone without a word is missed after some 20 seconds, and not after 65 as by default.
        "RAY_health_check_timeout_ms": "1000",
    }
    with Hosts(2, [tmp_path]) as hosts:
        yield Cluster(hosts, environment, tmp_path)


def test_no_row_crosses_the_network_on_landing(cluster: Cluster) -> None:
    cluster.start(1, 2)
    seen = cluster.life("landing").seen()

    assert _hosts_of(seen["blocks"]) == {"host1", "host2"}
    assert all(block["makers"] == block["places"] for block in seen["blocks"])
    assert seen["network_bytes"] < seen["bytes"] / 20
    assert seen["each_row_once"]


def test_two_nodes_on_one_host_are_told_apart(cluster: Cluster) -> None:
    cluster.start(1, 1)
    seen = cluster.life("landing").seen()

    assert _hosts_of(seen["blocks"]) == {"host1"}
    assert len({tuple(block["places"]) for block in seen["blocks"]}) == 2
    assert all(block["makers"] == block["places"] for block in seen["blocks"])
    assert seen["each_row_once"]


def test_a_lost_hosts_blocks_are_read_again_from_the_checkpoint(cluster: Cluster) -> None:
    cluster.start(1, 2)
    life = cluster.life("keeping")
    life.until("ready")
    cluster.lose(cluster.hosts[2])
    (cluster.directory / "lost").touch()
    seen = life.seen()

    assert "host2" in _hosts_of(seen["blocks"])
    assert seen["same"]
    assert seen["rows"] == ROWS


def test_without_a_checkpoint_the_loss_is_told_with_its_cure(cluster: Cluster) -> None:
    cluster.start(1, 2)
    life = cluster.life("losing")
    life.until("ready")
    cluster.lose(cluster.hosts[2])
    (cluster.directory / "lost").touch()
    seen = life.seen()

    assert "host2" in _hosts_of(seen["blocks"])
    for error in (seen["error"], seen["error_in_driver"]):
        assert "BlocksLostError" in error
        assert "to_ray(frame, checkpoint=URI)" in error


def test_a_training_that_loses_a_host_computes_its_rows_again_and_goes_on(cluster: Cluster) -> None:
    seen = _lose_while_training(cluster, "training")

    lost, fewer = seen["notices"]
    assert f"node {cluster.hosts[2].address} went away" in lost
    assert "the rows are computed again" in lost
    assert "1 of 2 executors" in fewer
    assert seen["stages"].count("etl") == 2


def test_a_training_that_loses_a_host_reads_its_rows_from_the_checkpoint_and_goes_on(cluster: Cluster) -> None:
    seen = _lose_while_training(cluster, "training_with_checkpoint")

    [notice] = seen["notices"]
    assert f"node {cluster.hosts[2].address} went away" in notice
    assert "the rows are read again from the checkpoint" in notice
    assert seen["stages"].count("etl") == 1
    assert list((cluster.directory / "checkpoint").iterdir()) == []


def test_a_worker_that_holds_every_cpu_left_does_not_wait_for_lost_rows(cluster: Cluster) -> None:
    cluster.start(1, 2, cpus=(2, 1))  # the worker takes two, and so is on the first
    life = cluster.life("waiting_for_cpus")
    life.until("ready")
    cluster.lose(cluster.hosts[2])
    (cluster.directory / "lost").touch()

    assert "cannot be reconstructed" in life.seen()["error"]


def _lose_while_training(cluster: Cluster, name: str) -> dict[str, Any]:
    _write_rows(cluster.directory / "rows")
    cluster.start(1, 2)
    life = cluster.life(name)
    life.until("heard", r"train epoch ([4-9]|\d\d)")  # so that there is one to go on after
    cluster.lose(cluster.hosts[2])
    seen = life.seen()
    [record] = [json.loads(path.read_text()) for path in cluster.directory.glob("runs/lost/*/run.json")]

    assert record["status"] == "done"
    assert record["notices"] == seen["notices"]
    assert seen["accuracy"] > 0.9
    assert seen["epochs"] == list(range(1, EPOCHS + 1))
    assert set(seen["trained_rows"]) == {int(FILES * ROWS_IN_A_FILE * 0.8)}
    noticed = next(place for place, line in enumerate(seen["heard"]) if line.startswith("notice: "))
    before, after = (
        [int(line.split()[-1]) for line in lines if line.startswith("train epoch")]
        for lines in (seen["heard"][:noticed], seen["heard"][noticed:])
    )
    # It went on and did not start afresh; an epoch whose checkpoint was still under way when the host went is repeated.
    assert 1 < before[-1] - 1 <= after[0]
    return {**seen, "stages": [stage["name"] for stage in record["stages"]]}


def _hosts_of(blocks: Sequence[Mapping[str, Any]]) -> set[str]:
    return {place.partition(":")[0] for block in blocks for place in block["places"]}


FILES, ROWS_IN_A_FILE = 8, 150


def _write_rows(directory: Path) -> None:
    """Write texts that are long, so that their blocks lie in the hosts' object stores and not with the driver."""
    directory.mkdir()
    for number in range(FILES):
        with (directory / f"{number}.jsonl").open("w") as file:
            for row in range(ROWS_IN_A_FILE):
                word = ("apple", "engine")[row % 2]
                text = f"{word} {number} {row} " + f"{word} " * 1500
                file.write(json.dumps({"text": text, "label": word}) + "\n")
