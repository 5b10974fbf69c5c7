"""The settings of the tests; fixtures come from sensor_assets.testing."""

from sensor_assets.testing import set_environment

set_environment(
    location="fleet-aircraft",
    LANDING_URL="memory:///landing",
    FLEET_DATABASE_URL="postgresql://fleet_reader@/outside",
    LAKE_URL="memory:///lake",
    INTERVAL_SECONDS="5",
)
