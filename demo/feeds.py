"""Play 2013 into the outside systems: flight files, a weather service, a planes table, an airports file.

    python -m demo.feeds --state .local --database-url postgresql://... --port 3100 --days 14

When everything is played, `<state>/feeds.json` says so and the weather service goes on until SIGTERM.
"""

import argparse
import logging
import signal
import threading
from dataclasses import replace
from pathlib import Path

from demo import progress
from demo.data import Year, csv, load
from demo.landing import Landing
from demo.plan import MOMENTS, Plan, make_plan
from demo.planes import PlanesFeed
from demo.progress import Progress
from demo.render import airports, flight_file, weather_document
from demo.weather import WeatherServer

SEED = 2013
FULL_SPEED_SECONDS = 20.0  # the whole play at full speed: a few sensor ticks, so that they see different states
OUTAGE_SECONDS = 6.0  # longer than a tick, so that one meets it

log = logging.getLogger("demo.feeds")


class Feeds:
    """The outside systems, and the plan by which they change."""

    def __init__(self, plan: Plan, year: Year, landing: Landing, planes: PlanesFeed, weather: WeatherServer) -> None:
        self.plan = plan
        self.year = year
        self.landing = landing
        self.planes = planes
        self.weather = weather

    def recall(self, moment: int) -> None:
        """Publish what the weather service had published before this moment."""
        for document in self.plan.weather:
            if document.moment < moment:
                self.weather.publish(document.name, weather_document(self.year, document))

    def play(self, moment: int) -> None:
        """Deliver everything of one moment; playing it twice leaves the same state as once."""
        for file in self.plan.files:
            if file.moment == moment:
                self.landing.write(f"flights/{file.name}", flight_file(self.year, file))
                log.info("%s (%s, day %s)", file.name, "late" if file.late else file.kind, file.day)
        for delivery in self.plan.airports:
            if delivery.moment == moment:
                self.landing.write("reference/airports.csv", csv(airports(self.year, delivery.revision)))
        for document in self.plan.weather:
            if document.moment == moment:
                self.weather.publish(document.name, weather_document(self.year, document))
        self.planes.play(moment)
        if moment == self.plan.moments // 2:
            log.info("the weather service fails for %s s", OUTAGE_SECONDS)
            self.weather.fail_for(OUTAGE_SECONDS)


def play(feeds: Feeds, state: Path, start: Progress, pause: float, stop: threading.Event) -> None:
    """Play from the recorded moment to the end, `pause` seconds apart, until asked to stop."""
    feeds.recall(start.next)
    for moment in range(start.next, feeds.plan.moments):
        if stop.is_set():
            return
        feeds.play(moment)
        progress.save(state, replace(start, next=moment + 1))
        stop.wait(pause)
    progress.save(state, replace(start, next=feeds.plan.moments, done=True))
    log.info("all %s items of %s days are played", feeds.plan.items, feeds.plan.days)


def main() -> None:
    """Play until everything is played, then serve until asked to stop."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        plan = make_plan(arguments.seed, arguments.days)
        start = progress.resume(progress.load(arguments.state), plan)
        weather = WeatherServer(arguments.port)
    except (ValueError, OSError) as error:
        raise SystemExit(f"feeds: {error} (port {arguments.port}, state {arguments.state})") from error
    year = load(plan.days)
    planes = PlanesFeed(arguments.database_url, year, plan)
    planes.create()
    feeds = Feeds(plan, year, Landing(arguments.state), planes, weather)
    weather.start()
    pause = arguments.speed / MOMENTS if arguments.speed else FULL_SPEED_SECONDS / plan.moments
    play(feeds, arguments.state, start, pause, stop)
    stop.wait()
    planes.close()
    weather.shutdown()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.feeds", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="directory that holds store/ and feeds.json")
    parser.add_argument("--database-url", required=True, help="the outside database, as a role that may create tables")
    parser.add_argument("--port", type=int, required=True, help="port of the weather service on 127.0.0.1")
    parser.add_argument("--days", type=int, default=14, help="how many days of 2013 to play (1 to 365)")
    parser.add_argument("--speed", type=float, default=0.0, help="seconds per day, 0 for full speed")
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


if __name__ == "__main__":
    main()
