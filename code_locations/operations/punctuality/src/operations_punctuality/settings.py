"""What differs between environments, read once from environment variables."""

from datetime import date

from pydantic import Field
from sensor_assets import Settings


class PunctualitySettings(Settings):
    """Where the lake is, which days are kept, how often upstream assets are looked at."""

    lake_url: str
    interval_seconds: float = Field(gt=0)
    first_day: date
    last_day: date


settings = PunctualitySettings.load()
