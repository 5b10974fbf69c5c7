"""A run coordinator that somebody brings, as `daemon.run_coordinator` allows."""

from tenancy.cluster.coordinator import TeamRunCoordinator


class OtherRunCoordinator(TeamRunCoordinator):
    """One that does as the platform's own."""
