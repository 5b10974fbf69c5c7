"""What differs between environments, read once from environment variables; thresholds have defaults."""

from pydantic import Field
from sensor_assets import Settings


class AlertsSettings(Settings):
    """Where the lake is, and what counts as severe."""

    lake_url: str
    interval_seconds: float = Field(gt=0)
    severe_wind_speed: float = 20.0
    """Miles per hour; from here on an hour is severe."""
    severe_visibility: float = 1.0
    """Miles; up to here an hour is severe."""
    least_observations: int = 24
    """Fewer than these are held back."""
    max_hold_seconds: float = 20.0
    """No observation is held longer than this."""


settings = AlertsSettings.load()
