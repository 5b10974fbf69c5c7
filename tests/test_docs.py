"""What the documentation shows works: its files are written, its commands run, its output compared."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import psycopg
import pytest
from sensor_assets import Lake, Message, QueueSource
from sensor_assets.testing import Location, settings_for

from . import api_reference
from .documents import Session, blocks, environment

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ONE_AFTER_THE_OTHER = (
    "tutorials/first-sensor-asset.md",
    "how-to/test-a-sensor-asset.md",
    "how-to/write-a-sensor-asset-in-yaml.md",
)
"""Pages that a person follows in this order, the later ones in what the first has made."""


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """Return a copy of what is under version control, with the environment of this clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    with TemporaryDirectory(prefix="docs-") as directory:
        for path in filter(None, listed.stdout.split("\0")):
            target = Path(directory) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, target)
        (Path(directory) / ".venv").symlink_to(ROOT / ".venv")
        yield Path(directory)


@pytest.mark.timeout(900)  # it installs the location's environment
@pytest.mark.parametrize("page", ONE_AFTER_THE_OTHER)
def test_whoever_follows_a_page_gets_what_it_promises(page: str, clone: Path) -> None:
    assert Session(clone, environment()).follow(DOCS / page) > 3


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_of_python_can_be_compiled(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and page != api_reference.PAGE:  # which shows signatures
            compile(block.body, str(block), "exec")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md", ROOT / "libs" / "sensor_assets" / "README.md"], ids=str)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_reference_is_what_the_docstrings_say() -> None:
    assert api_reference.PAGE.read_text() == api_reference.page(), "run: uv run python -m tests.api_reference"


@dataclass(frozen=True)
class Outside:
    """What the examples follow: a directory of files, a table, a page."""

    landing: str
    database: str
    site: str


@pytest.fixture
def outside(tmp_path: Path, sensor_assets_ledger_schema: Any) -> Iterator[Outside]:
    for folder in ("customers", "invoices", "reports", "payments", "shipments", "stock", "partner"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("id,item\n1,cup\n")
    (tmp_path / "measurements" / "2024-05-01").mkdir(parents=True)
    (tmp_path / "measurements" / "2024-05-01" / "a.csv").write_text("id,item\n1,cup\n")
    (tmp_path / "rates.csv").write_text("currency,rate\nEUR,1.1\n")
    url = sensor_assets_ledger_schema.url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table orders (id int primary key, item text, changed_at timestamptz)")
        connection.execute("insert into orders select i, 'cup', now() - interval '1 hour' from generate_series(1, 2) i")
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            yield Outside(f"file://{tmp_path}", url, f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
            thread.join()
        connection.execute("drop table orders")


class Receiver:
    """A queue in memory, in place of the one in the cloud."""

    def __init__(self) -> None:
        self.messages = [Message(id="m1", body=b'{"kind": "paid", "order": {"id": "1"}}')]

    def receive(self, limit: int, wait: float) -> Sequence[Message]:
        return self.messages[:limit]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.messages = [message for message in self.messages if message not in messages]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        pass


def test_what_the_migration_page_offers_instead_works_on_files_rows_and_pages(
    outside: Outside, make_location: Callable[..., Location], lake: Lake
) -> None:
    session = Session(DOCS, environment(), names={"__name__": "the_page"})
    session.follow(DOCS / "how-to" / "migrate-from-plain-sensors.md")
    settings = settings_for(
        session.names["ShopSettings"],
        landing_url=outside.landing,
        shop_database_url=outside.database,
        rates_url=outside.site,
        order_queue="orders",
    )
    queue: QueueSource = session.names["order_queue"]
    queue.queue, queue.receiver = None, lambda _: Receiver()
    location = make_location(session.names["definitions"](settings), resources={"lake": lake})
    assert all(run.success for run in location.settle())
    rows = {file.path.partition("/")[0].removesuffix(".parquet"): lake.read(file.path) for file in lake.list("")}
    heights = {asset: table.height for asset, table in rows.items() if table is not None}
    assert heights == {
        "customers": 1,
        "invoices": 1,
        "measurements": 1,
        "reports": 1,
        "orders": 2,
        "rates": 1,
        "order_events": 1,
        "paid": 1,
        "warehouse": 2,
        "stock": 1,
        "tickets": 2,
        "partner": 1,
    }


def test_every_test_that_the_documentation_names_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert "test_a_team_does_not_reach" in named
    assert named <= defined
