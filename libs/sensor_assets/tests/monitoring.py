"""A monitor that evaluates without Dagster, and runs that note what they were given."""

import logging
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import SecretStr
from sensor_assets import Batching, Retry, Settings, Source
from sensor_assets._consumers import Consumer, Outlet
from sensor_assets._cursor import Cursor
from sensor_assets._evaluate import Answer, evaluate
from sensor_assets._runs import RunReport
from sensor_assets._runtime import Runtime
from sensor_assets._survey import Limits
from sensor_assets.ledger import PostgresLedger

SETTINGS = Settings(
    environment="local", team="t", location="l", ledger_url=SecretStr("postgresql://"), ledger_schema="t"
)
LOG = logging.getLogger("monitoring")
LOG.setLevel(logging.CRITICAL + 1)


class NoRuns:
    """Dagster knows no run: every run has ended and marked its batch."""

    def report(self, batches: Any) -> dict[str, RunReport]:
        return {}


def following(source: Source, name: str = "asset", *, max_items: int = 2) -> Consumer:
    """Return an asset without partitions that follows a source."""
    return Consumer(
        name=name,
        sources=(source,),
        source_keys={source.name: dg.AssetKey(source.name)},
        outlets={None: Outlet(asset=dg.AssetKey(name), definition=None)},
        batching=Batching(max_items=max_items),
        retry=Retry(),
        max_in_flight=2,
        partitions_def=None,
        backfill_policy=None,
    )


class Monitor:
    """Evaluates, executes at once what is launched, and keeps the cursor; `given` are key and version by consumer."""

    def __init__(self, ledger: PostgresLedger, limits: Limits | None = None) -> None:
        self.ledger = ledger
        self.limits = limits
        self.cursor = Cursor()
        self.given: dict[str, list[str]] = {}

    def tick(self, consumers: Sequence[Consumer]) -> Answer:
        """Evaluate once and process what it launches."""
        runtime = Runtime(settings=SETTINGS, consumers=consumers, ledger=self.ledger)
        answer = evaluate(
            runtime,
            "monitor",
            consumers=consumers,
            cursor=self.cursor,
            runs=NoRuns(),
            policies={consumer.name: consumer.policy(lambda name: []) for consumer in consumers},
            resources={},
            log=LOG,
            limits=self.limits,
        )
        self.cursor = answer.cursor
        for batch in answer.batches:
            items = self.ledger.batch_items(batch)
            self.given.setdefault(batch.consumer, []).extend(f"{item.key}:{item.version}" for item in items)
            self.ledger.finish(batch.consumer, batch.id, "run", rejected=[], gone=[], now=runtime.clock.now())
        return answer
