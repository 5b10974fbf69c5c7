"""The queue of the platform: at most so many runs of a team at once, whatever team it is.

The limits are read with `Places` at each look into the queue, so that a team is added without a restart.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun, Field, QueuedRunCoordinator, StringSource, SubmitRunContext

from tenancy.cluster._dagster import RunQueueConfig
from tenancy.cluster.last_good import LastGood
from tenancy.cluster.places import Places

TEAM_TAG = "tenancy/team"


class TeamRunCoordinator(QueuedRunCoordinator):
    """`QueuedRunCoordinator` that knows teams, for `run_coordinator` in dagster.yaml.

    Its configuration is that of `QueuedRunCoordinator` and `places`, the path of the file that `Places` describes.
    """

    def __init__(self, *, places: str, **config: Any) -> None:
        super().__init__(**config)
        self._places = LastGood(Path(places), Places.read)

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Return the configuration of `QueuedRunCoordinator` and the path of the places."""
        return {**super().config_type(), "places": Field(StringSource, description="File with the limits of teams.")}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return a coordinator."""
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Put a run into the queue, stamped with the team that its location belongs to."""
        run = context.dagster_run
        origin = run.remote_job_origin
        location = origin.repository_origin.code_location_origin.location_name if origin else None
        place = self._places.get().locations.get(location) if location else None
        if place is not None and run.tags.get(TEAM_TAG) != place.team:
            self._instance.add_run_tags(run.run_id, {TEAM_TAG: place.team})
        return super().submit_run(context)

    def get_run_queue_config(self) -> RunQueueConfig:
        """Return the limits as they are now: those of dagster.yaml, and each team's own."""
        limits = [
            {"key": TEAM_TAG, "value": team, "limit": limit.concurrent_runs}
            for team, limit in self._places.get().teams.items()
        ]
        config = super().get_run_queue_config()
        return config._replace(tag_concurrency_limits=[*config.tag_concurrency_limits, *limits])
