"""The whole local platform: brought up in order, looked after, taken down in order."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tenancy.environments import Environment
from tenancy.local import dagster_home, services
from tenancy.local.display import Display
from tenancy.local.environment import inherited, variables_of, write_dotenv
from tenancy.local.errors import LocalPlatformError
from tenancy.local.guardian import Guardian
from tenancy.local.instance import Instance
from tenancy.local.layout import Layout
from tenancy.local.ledgers import Migration
from tenancy.local.lock import only_launcher
from tenancy.local.orphans import adopt_orphans
from tenancy.local.ports import HOST
from tenancy.local.postgres import Postgres
from tenancy.local.provision import FEEDS, LEDGER, OUTSIDE, provision
from tenancy.local.restarts import is_hopeless
from tenancy.local.setup import set_up
from tenancy.local.status import Ledgers, SourceStatus
from tenancy.local.supervisor import Supervisor
from tenancy.register import Location

POLL_SECONDS = 0.1
TABLE_SECONDS = 2.0
START_SECONDS = 180.0


@dataclass(frozen=True)
class Options:
    """What a start depends on.

    Args:
        locations: those to start.
        web_port: of the webserver.
        feeds_port: of the demo's weather service.
        days: how many days of 2013 the feeds play; 0 starts no feeds.
        seconds_per_day: how fast; 0 is full speed.
        dotenv: whether to write the `.env` files that make `dg dev` in a location's folder use this platform.
    """

    locations: Sequence[Location]
    web_port: int
    feeds_port: int
    days: int
    seconds_per_day: float
    dotenv: bool


class LocalPlatform:
    """Every process of the platform; a context manager that leaves none behind.

    Args:
        layout: where everything is.
        environment: the values of the environment `local`.
        options: what to start.
        display: what the person sees.
    """

    def __init__(self, layout: Layout, environment: Environment, options: Options, display: Display) -> None:
        self.layout = layout
        self.options = options
        self.postgres = Postgres(layout.postgres_data, layout.postgres_socket, log=layout.log("postgres"))
        self.instance = Instance(f"http://{HOST}:{options.web_port}")
        self.teams = sorted({location.ledger_schema for location in options.locations})
        self.ledgers = Ledgers(self.postgres.url(LEDGER), self.teams)
        self._environment = environment
        self._display = display
        self._postgres_lives: list[float] = []
        self._postgres_started = 0.0
        self._next_table = 0.0
        self.statuses: list[SourceStatus] = []
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            lock = stack.enter_context(only_launcher(self.layout.lock))
            adopt_orphans()
            self.layout.make()
            set_up(self.layout.root, self.options.locations, self._display.message)
            guardian = stack.enter_context(Guardian(keep=(lock,)))
            self.supervisor = Supervisor(guardian, self._display.message)
            self._bring_up(stack, guardian)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def code_servers(self) -> list[str]:
        """Names of the code servers' processes."""
        return [location.dagster_name for location in self.options.locations]

    def poll(self) -> None:
        """Look after every process once and refresh the picture; call it several times a second.

        Raises:
            LocalPlatformError: something that the platform needs does not stay up.
        """
        self._poll_postgres()
        self.supervisor.poll()
        if time.monotonic() >= self._next_table:
            self._next_table = time.monotonic() + TABLE_SECONDS
            self.statuses = self.ledgers.read() or self.statuses
            header = f"Dagster: {self.instance.url}   logs: {self.layout.logs}   Ctrl-C ends everything"
            self._display.running(header, self.supervisor.conditions(), self.statuses)

    def crash_postgres(self) -> None:
        """Restart Postgres without an orderly stop."""
        self.postgres.restart(immediate=True)
        self._postgres_started = time.monotonic()

    def _bring_up(self, stack: ExitStack, guardian: Guardian) -> None:
        stack.callback(self.instance.close)
        self.postgres.announce_to(guardian.descriptor)
        stack.callback(self.postgres.stop)
        self.postgres.start()
        self._postgres_started = time.monotonic()
        stack.callback(self.ledgers.close)
        provision(self.postgres, self.teams)
        self._display.message("postgres: ready")
        dagster_home.write_homes(self.layout, self.postgres, self._environment)
        dagster_home.write_workspace(self.layout, self.options.locations)
        migration = Migration(self.postgres, self.teams, inherited(self.layout.dagster_home))
        stack.callback(migration.kill)
        stack.callback(self.supervisor.stop, self.code_servers)
        for location in self.options.locations:
            self._start_code_server(location)
        self._wait(lambda: self.supervisor.is_settled(self.code_servers) and migration.is_done())
        others = [services.webserver(self.layout, self.options.web_port), services.daemon(self.layout, self.instance)]
        if self.options.days:
            url = self.postgres.url(OUTSIDE, FEEDS)
            port, days, speed = self.options.feeds_port, self.options.days, self.options.seconds_per_day
            others.append(services.feeds(self.layout, url, port, days, speed))
        names = [service.name for service in others]
        stack.callback(self.supervisor.stop, names)
        for service in others:
            self.supervisor.start(service)
        self._wait(lambda: self.supervisor.is_settled(names))

    def _start_code_server(self, location: Location) -> None:
        variables = variables_of(
            location, self._environment, self.layout, self.postgres, feeds_port=self.options.feeds_port
        )
        if self.options.dotenv:
            home = {"DAGSTER_HOME": str(self.layout.development_home)}
            write_dotenv(self.layout.root / location.directory / ".env", variables | home)
        self.supervisor.start(services.code_server(location, self.layout, variables))

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not done():
            if time.monotonic() > deadline:
                late = [name for name, how in self.supervisor.conditions().items() if how.value != "ready"]
                raise LocalPlatformError(
                    f"not ready within {START_SECONDS:.0f} s: {', '.join(late)}. Their logs are in {self.layout.logs}"
                )
            time.sleep(POLL_SECONDS)
            self._poll_postgres()
            self.supervisor.poll()
            self._display.starting(self.supervisor.conditions())

    def _poll_postgres(self) -> None:
        code = self.postgres.poll()
        if code is None:
            return
        self._postgres_lives.append(time.monotonic() - self._postgres_started)
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        if is_hopeless(self._postgres_lives):
            raise LocalPlatformError(f"Postgres ended {how} again; see {self.postgres.log}")
        self._display.message(f"postgres ended {how}; it is started again")
        self.postgres.start()
        self._postgres_started = time.monotonic()
