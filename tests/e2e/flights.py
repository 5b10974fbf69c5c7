"""Flight files for the cluster's store, and what must come of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import polars as pl

from demo import data, difference, expected, render
from demo.plan import FileDelivery, Plan

AIRPORTS = ("EWR", "JFK", "LGA")
ASSET = "operations/departures"


@dataclass(frozen=True)
class Flights:
    """A flight file for each airport and day of the year's first days."""

    days: int
    year: data.Year
    files: Sequence[FileDelivery]

    @classmethod
    def of(cls, days: int) -> "Flights":
        """Return the files of the first days."""
        files = [
            FileDelivery(moment=day, day=day, name=f"{data.date_of(day)}-{airport}.csv", kind="part", part=airport)
            for day in range(1, days + 1)
            for airport in AIRPORTS
        ]
        return cls(days, data.load(days), files)

    def put(self, s3: Any, files: Sequence[FileDelivery]) -> None:
        """Put files where the location looks for them."""
        days = {day: self.year.flights.filter(_of(day)) for day in {file.day for file in files}}
        for file in files:
            rows = render.flight_rows(replace(self.year, flights=days[file.day]), file)
            s3.put_object(Bucket="landing", Key=f"flights/{file.name}", Body=data.csv(rows))

    def difference(self, s3: Any) -> difference.Difference:
        """Compare all flights with what the asset holds, row by row."""
        plan = Plan(seed=0, days=self.days, files=tuple(self.files), weather=(), planes=(), airports=())
        return difference.of_table(ASSET, expected.departures(plan, self.year), table(s3, ASSET))


def _of(day: int) -> pl.Expr:
    date = data.date_of(day)
    return (pl.col("month") == str(date.month)) & (pl.col("day") == str(date.day))


def table(s3: Any, asset: str) -> pl.DataFrame | None:
    """Return all rows of an asset in the lake."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=f"{asset}/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return expected.union(
        pl.read_parquet(BytesIO(s3.get_object(Bucket="lake", Key=key)["Body"].read())) for key in keys
    )
