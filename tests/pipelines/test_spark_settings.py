from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.java import Java
from pipelines.session_options import SessionOptions
from pipelines.spark_settings import spark_settings

FLAGS = "spark.executor.extraJavaOptions"


@pytest.mark.parametrize(
    ("heap", "young"),
    [("512m", "128m"), ("1g", "128m"), ("8g", "1024m")],
)
def test_an_executors_young_generation_is_an_eighth_of_its_heap_and_128_mib_at_least(heap: str, young: str) -> None:
    settings = spark_settings(Java(Path("java"), 17, "test"), SessionOptions(executor_memory=heap))
    assert settings[FLAGS].endswith(f"-XX:MaxNewSize={young}")


def test_the_users_flags_stand_behind_ours_so_that_they_count() -> None:
    options = SessionOptions.model_validate({"spark_conf": {FLAGS: "-XX:MaxNewSize=300m"}})
    ours, _, theirs = spark_settings(Java(Path("java"), 17, "test"), options)[FLAGS].rpartition(" ")
    assert theirs == "-XX:MaxNewSize=300m"
    assert "-XX:MaxNewSize=128m" in ours
