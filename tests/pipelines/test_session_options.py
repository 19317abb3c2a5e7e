"""What a session is asked to be is a value: checked when it is made, hashable, and without a secret in it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from connectors.secret import Secret
from pipelines.session_options import SessionOptions, parse_size


def test_settings_are_sorted_and_written_as_spark_takes_them() -> None:
    one = SessionOptions.model_validate({"spark_conf": {"b": True, "a": 8}})
    other = SessionOptions.model_validate({"spark_conf": {"a": "8", "b": "true"}})
    assert one.spark_conf == (("a", "8"), ("b", "true"))
    assert one == other
    assert hash(one) == hash(other)


def test_a_setting_may_be_a_secret_where_spark_takes_it_at_run_time() -> None:
    options = SessionOptions.model_validate({"spark_conf": {"spark.hadoop.fs.s3a.secret.key": "${env:KEY}"}})
    assert options.spark_conf == (("spark.hadoop.fs.s3a.secret.key", Secret("${env:KEY}")),)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"spark.hadoop.fs.s3a.secret.key": "hunter2"}, "give it by reference"),
        ({"spark.authenticate": "${env:KEY}"}, "read when it starts"),
    ],
)
def test_a_secret_in_the_wrong_place_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SessionOptions.model_validate({"spark_conf": settings})


@pytest.mark.parametrize(
    ("text", "size"), [("1k", 2**10), ("512m", 2**29), ("2G", 2**31), ("1tb", 2**40), (" 1g ", 2**30)]
)
def test_a_size_is_read_as_spark_does(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1", "1.5g", "g", "-1g", "1 g", "1x"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size; write a whole number and a unit, like 512m or 2g"):
        parse_size(text)
    with pytest.raises(ValidationError, match="is not a size"):
        SessionOptions(executor_memory=text)


@pytest.mark.parametrize("option", ["executors", "executor_cores", "start_timeout"])
def test_nothing_can_be_had_less_than_once(option: str) -> None:
    with pytest.raises(ValidationError, match=option):
        SessionOptions.model_validate({option: 0})
