"""One Ray with Spark on it serves all tests that need them: starting it takes half a minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.connectors.jdbc_driver import driver_jar

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from pipelines.session import Session

_OF_THIRD_PARTIES = (
    # pyspark leaves the sockets that it collects results through to the garbage collector, and compares versions by
    # distutils; Ray warns of its own settings when it copies them, and leaves its processes' files open; Lance warns of
    # every fork, also where Ray is started by one.
    "ignore:unclosed:ResourceWarning",
    "ignore:subprocess .* is still running:ResourceWarning",
    "ignore:distutils Version classes are deprecated:DeprecationWarning",
    "ignore::DeprecationWarning:ray.data.context",
    "ignore:lance is not fork-safe:UserWarning",
)

# A slow machine is no fault of a test's, and the temporary directory of one may serve all of its examples.
settings.register_profile(
    "headrace", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("headrace")


def pytest_configure(config: pytest.Config) -> None:
    for line in _OF_THIRD_PARTIES:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests, so that nothing is started before it is wanted, or while others have a machine of their own.

    First those that take milliseconds, then those that start programs which have Ray and Spark of their own, then those
    that share one Spark, and at last those for which Spark is released.
    """

    def place(item: pytest.Item) -> int:
        fixtures = getattr(item, "fixturenames", ())
        if "ray_cluster" in fixtures:
            return 3
        if "_one_session" in fixtures:
            return 2
        return int(any(item.get_closest_marker(name) for name in ("spark", "ray")))

    items.sort(key=place)


@pytest.fixture(scope="session")
def _one_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    from pipelines.session import Session

    spark_conf = {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse"))}
    jar = driver_jar()
    if jar is not None:
        spark_conf["spark.jars"] = str(jar)
    with Session(
        executors=1,
        executor_cores=1,
        object_store_memory="1g",
        dashboard=True,
        spark_conf=spark_conf,
    ) as session:
        yield session


@pytest.fixture
def session(_one_session: Session) -> Session:
    """The session with Spark up: one executor of one core; the other core is Ray's."""
    _one_session.start_spark()
    return _one_session


@pytest.fixture
def spark(session: Session) -> SparkSession:
    """The session's Spark."""
    return session.spark


@pytest.fixture
def ray_cluster(_one_session: Session) -> None:
    """The session's Ray, with every CPU free: Spark is released."""
    _one_session.release_spark()


@pytest.fixture
def ray_running(_one_session: Session) -> None:
    """The session's Ray, whether Spark is up or not: one CPU at least is free."""
