"""What differs between environments, read once from environment variables."""

from datetime import date

from pydantic import Field
from sensor_assets import Settings


class ObservationsSettings(Settings):
    """Where the weather service answers, where the lake is, which days are kept."""

    weather_url: str
    lake_url: str
    interval_seconds: float = Field(gt=0)
    first_day: date
    last_day: date


settings = ObservationsSettings.load()
