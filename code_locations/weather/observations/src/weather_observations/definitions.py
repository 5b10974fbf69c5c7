"""All definitions of this location: what `defs` holds, with its sources and its resources."""

from pathlib import Path

import dagster as dg
from sensor_assets import Lake, with_sources

from weather_observations.settings import settings


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything that Dagster loads."""
    return with_sources(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        settings=settings,
        resources={"lake": Lake(url=settings.lake_url)},
    )
