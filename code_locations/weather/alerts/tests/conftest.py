"""The settings of the tests; fixtures come from sensor_assets.testing."""

from sensor_assets.testing import set_environment

set_environment(
    location="weather-alerts",
    LAKE_URL="memory:///lake",
    INTERVAL_SECONDS="5",
)
