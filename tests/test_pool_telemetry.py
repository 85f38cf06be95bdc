"""What a pool tells OpenTelemetry, read by its SDK."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from milvus_profiles import errors
from milvus_profiles.pool.threads import ConnectionPool
from tests.support.pool_outside import Outside
from tests.support.pool_shells import Asyncio, Shell, Threads


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


@pytest.mark.parametrize("kind", [Threads, Asyncio])
async def test_metrics_follow_the_semantic_conventions(kind: type[Threads | Asyncio]) -> None:
    reader, shell = InMemoryMetricReader(), Shell(kind)
    async with shell.exclusive(max_total_per_key=2, max_idle_per_key=1, max_block_wait=0.01) as pool:
        pool.instrument(name="films", meter_provider=MeterProvider([reader]))
        first, second = [await shell.get(pool, timeout=20) for _ in range(2)]
        with pytest.raises(errors.PoolTimeoutError) as caught:
            await shell.get(pool)
        of = ("films/a",)
        found = read(reader)
        assert found["count"] == {(*of, "idle"): 0, (*of, "used"): 2}
        assert found["max"] == {of: 2}
        assert found["idle.max"] == {of: 1}
        assert found["idle.min"] == {of: 0}
        assert found["pending_requests"] == {of: 0}
        assert found["timeouts"] == {of: 1}
        assert found["create_time"] == found["wait_time"] == {of: 2}
        await shell.do(first.close)
        await shell.do(second.close)
        await shell.use(pool)
        found = read(reader)
        assert found["use_time"] == found["wait_time"] == {of: 3}
    del pool, first, second, caught
    gc.collect()
    assert "count" not in read(reader)  # the pool is gone


def test_without_opentelemetry_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with (
        ConnectionPool(connector=Outside()) as pool,
        pytest.raises(errors.ConfigError, match="not installed") as caught,
    ):
        pool.instrument()
    assert caught.value.hint is not None
    assert "[otel]" in caught.value.hint
