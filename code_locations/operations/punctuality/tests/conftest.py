"""The settings of the tests; fixtures come from sensor_assets.testing."""

from sensor_assets.testing import set_environment

set_environment(
    location="operations-punctuality",
    LAKE_URL="memory:///lake",
    INTERVAL_SECONDS="5",
    FIRST_DAY="2013-01-01",
    LAST_DAY="2013-12-31",
)
