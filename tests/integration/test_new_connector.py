"""The source that CONTRIBUTING walks through passes the whole contract, on Spark and on Ray Data too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import ray.cloudpickle
from pyspark import cloudpickle

from connectors import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.json_server import serving
from tests.test_documents import CONTRIBUTING, python_blocks


@pytest.fixture(scope="module")
def shop_reviews() -> Iterator[ModuleType]:
    """The module as its author has it; its classes travel to the workers, which do not have it installed."""
    module = sys.modules["shop_reviews"] = ModuleType("shop_reviews")
    exec(python_blocks(CONTRIBUTING)[0], module.__dict__)
    for pickler in (cloudpickle, ray.cloudpickle):
        pickler.register_pickle_by_value(module)
    yield module
    for pickler in (cloudpickle, ray.cloudpickle):
        pickler.unregister_pickle_by_value(module)
    del sys.modules["shop_reviews"]


class TestShopReviews(SourceContract):
    row_count = 23

    @pytest.fixture
    def source(self, shop_reviews: ModuleType) -> Iterator[PartitionedSource]:
        with serving() as server:
            reviews = [{"id": n, "body": f"review {n}" if n != 4 else None, "verdict": "good"} for n in range(23)]
            server.lists(reviews, at="reviews", size=10, pages=3)
            yield shop_reviews.ShopReviews(url=f"{server.url}/reviews")
