"""What differs between environments, read once from environment variables."""

from pydantic import Field, SecretStr
from sensor_assets import Settings


class AircraftSettings(Settings):
    """Where the planes table and the airports file are, and where the lake is."""

    fleet_database_url: SecretStr
    landing_url: str
    lake_url: str
    interval_seconds: float = Field(gt=0)


settings = AircraftSettings.load()
