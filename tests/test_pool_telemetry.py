"""What a pool tells OpenTelemetry, read by its SDK."""

from __future__ import annotations

import builtins
import gc
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.pool.threads import ConnectionPool
from milvus_profiles.pool_settings import PoolSettings
from tests.support.pool_outside import AsyncOutside, Outside


def read(reader: InMemoryMetricReader) -> dict[str, dict[tuple[str, ...], Any]]:
    """Name of the metric -> values of its attributes -> value, or count of a histogram."""
    found: dict[str, dict[tuple[str, ...], Any]] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points = found.setdefault(metric.name.removeprefix("db.client.connection."), {})
                for point in metric.data.data_points:
                    values = tuple((point.attributes or {}).values())
                    points[tuple(map(str, values))] = getattr(point, "count", getattr(point, "value", None))
    return found


def test_metrics_follow_the_semantic_conventions() -> None:
    reader = InMemoryMetricReader()
    settings = PoolSettings(mode="exclusive", max_total_per_key=2, max_idle_per_key=1, max_block_wait=0.01)
    with ConnectionPool(settings, connector=Outside()) as pool:
        pool.instrument(name="films", meter_provider=MeterProvider([reader]))
        first, second = (pool.get_client("a", timeout=20) for _ in range(2))
        with pytest.raises(errors.PoolTimeoutError) as caught:
            pool.get_client("a")
        of = ("films/a",)
        found = read(reader)
        assert found["count"] == {(*of, "idle"): 0, (*of, "used"): 2}
        assert found["max"] == {of: 2}
        assert found["idle.max"] == {of: 1}
        assert found["idle.min"] == {of: 0}
        assert found["pending_requests"] == {of: 0}
        assert found["timeouts"] == {of: 1}
        assert found["create_time"] == {of: 2}
        assert found["wait_time"] == {of: 2}
        first.close()
        second.close()
        with pool.lease("a"):
            pass
        found = read(reader)
        assert found["use_time"] == {of: 3}
        assert found["wait_time"] == {of: 3}
    del pool, first, second, caught
    gc.collect()
    assert "count" not in read(reader)  # the pool is gone


async def test_asyncio_too() -> None:
    reader = InMemoryMetricReader()
    async with mp.aio.ConnectionPool(connector=AsyncOutside()) as pool:
        pool.instrument(meter_provider=MeterProvider([reader]))
        async with pool.lease("a"):
            assert read(reader)["count"] == {("milvus/a", "idle"): 0, ("milvus/a", "used"): 1}
        found = read(reader)
        assert found["use_time"] == found["create_time"] == found["wait_time"] == {("milvus/a",): 1}


def test_without_opentelemetry_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name, name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        ConnectionPool(connector=Outside()) as pool,
        pytest.raises(errors.ConfigError, match="not installed") as caught,
    ):
        pool.instrument()
    assert caught.value.hint is not None
    assert "[otel]" in caught.value.hint
