"""The queue of the platform: at most so many runs of a team at once, whatever team it is.

The limits are read with `Places` at each look into the queue, so that a team is added without a restart.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

from dagster import DagsterRun, Field, QueuedRunCoordinator, StringSource, SubmitRunContext

from tenancy.cluster._dagster import RunQueueConfig
from tenancy.cluster.last_good import LastGood
from tenancy.cluster.pauses import Pauses
from tenancy.cluster.places import Places

TEAM_TAG = "tenancy/team"
NO_TEAM = "none"
"""Team of a run whose location is not in the register. No team has this name (`tenancy.names`)."""


class TeamRunCoordinator(QueuedRunCoordinator):
    """`QueuedRunCoordinator` that knows teams, for `run_coordinator` in dagster.yaml.

    Its configuration is that of `QueuedRunCoordinator` and `places`, the path of the file that `Places` describes. Give
    limits here and not under `concurrency` in dagster.yaml, which would take the place of the teams' own.
    """

    def __init__(self, *, places: str, **config: Any) -> None:
        super().__init__(**config)
        self._places = LastGood(Path(places), Places.read)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the configuration of `QueuedRunCoordinator` and the path of the places."""
        places = Field(StringSource, description="File with the limits of each team.")
        return {**cast("dict[str, Any]", super().config_type()), "places": places}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Return a coordinator."""
        return cls(inst_data=inst_data, **config_value)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Put a run into the queue, stamped with the team that its location belongs to."""
        run = context.dagster_run
        if run.tags.get(TEAM_TAG) != (team := self.team_of(run)):
            self._instance.add_run_tags(run.run_id, {TEAM_TAG: team})
        return super().submit_run(context)

    def team_of(self, run: DagsterRun) -> str:
        """Return the team that a run belongs to, whatever its tags say."""
        origin = run.remote_job_origin
        location = origin.repository_origin.code_location_origin.location_name if origin else ""
        place = self._places.get().locations.get(location)
        return place.team if place else NO_TEAM

    def get_run_queue_config(self) -> RunQueueConfig:
        """Return the limits as they are now: those of dagster.yaml, and each team's own."""
        paused = self._paused()
        limits = [
            {"key": TEAM_TAG, "value": team, "limit": 0 if team in paused else limit.concurrent_runs}
            for team, limit in self._places.get().teams.items()
        ]
        config = super().get_run_queue_config()
        return config._replace(tag_concurrency_limits=[*config.tag_concurrency_limits, *limits])

    def _paused(self) -> set[str]:
        # The launcher of this process, if it is one that knows pauses.
        pauses = getattr(self._instance.run_launcher, "pauses", None)
        return pauses.teams() if isinstance(pauses, Pauses) else set()
