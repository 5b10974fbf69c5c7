"""What `make images` has built: small, the same layers in all images, the same bytes every time, nothing to misuse.

Sizes are counts of bytes as the registry stores them. Needs `.local/images.yaml`, which `make images` writes, and a
registry that asks for no password.
"""

import shutil
import subprocess
from itertools import takewhile
from pathlib import Path

import pytest

from .built_images import ROOT, Image, Layer, written

IMAGES = written()
LOCATIONS = {name: image for name, image in IMAGES.items() if name != "platform"}
MB = 1_000_000
EPOCH = 1735689600
SITE_PACKAGES = "opt/venv/lib/python3.12/site-packages"

pytestmark = pytest.mark.skipif(not LOCATIONS or "platform" not in IMAGES, reason="no images; run: make images")
every_image = pytest.mark.parametrize("name", IMAGES)
every_location = pytest.mark.parametrize("name", LOCATIONS)


def shared_layers() -> list[Layer]:
    """Return the layers that all images begin with."""
    together = zip(*(image.layers for image in IMAGES.values()), strict=False)
    return [layers[0] for layers in takewhile(lambda layers: len(set(layers)) == 1, together)]


def size(layers: list[Layer]) -> int:
    return sum(layer.size for layer in layers)


def layer_with(image: Image, path: str) -> Layer:
    """Return the layer of an image that brings a file."""
    return next(layer for layer in image.layers if any(entry.name == path for entry in layer.entries))


def test_all_images_begin_with_the_same_layers() -> None:
    held = {entry.name for layer in shared_layers() for entry in layer.entries}
    for package in ("dagster", "dagster_postgres", "dagster_obstore", "psycopg", "sqlalchemy"):
        assert f"{SITE_PACKAGES}/{package}/__init__.py" in held
    assert size(shared_layers()) <= 115 * MB


def test_all_images_hold_the_libraries_of_the_repository_in_the_same_small_layer() -> None:
    layers = {layer_with(image, f"{SITE_PACKAGES}/sensor_assets/__init__.py") for image in IMAGES.values()}
    assert len(layers) == 1
    assert layers.pop().size < MB


def test_polars_is_stored_once_for_all_locations_that_lock_the_same() -> None:
    path = f"{SITE_PACKAGES}/polars/__init__.py"
    assert len({layer_with(image, path) for image in LOCATIONS.values() if path in image.files}) == 1


def test_the_platform_is_small() -> None:
    assert size(IMAGES["platform"].layers) <= 140 * MB


@every_location
def test_the_code_of_a_location_is_a_layer_of_kilobytes(name: str) -> None:
    image = LOCATIONS[name]
    assert image.layers[-1] == layer_with(image, f"{SITE_PACKAGES}/{name.replace('-', '_')}/definitions.py")
    assert image.layers[-1].size < 100_000


@every_image
def test_a_layer_repeats_nothing_of_those_below(name: str) -> None:
    image, seen = IMAGES[name], set[str]()
    for layer in image.layers:
        files = {entry.name for entry in layer.entries if entry.is_file}
        repeated = {path for path in files & seen if path.startswith(("opt/", "usr/local/"))}
        assert repeated == set()
        seen |= files


@every_image
def test_an_image_runs_as_anybody_and_says_what_it_is(name: str) -> None:
    config = IMAGES[name].config
    assert config["created"] == "2025-01-01T00:00:00Z"
    assert config["config"]["User"] == "10001:10001"
    assert "Entrypoint" not in config["config"]
    labels = config["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == name
    if name != "platform":
        assert f"{labels['tenancy.team']}-{labels['tenancy.location']}" == name


@every_image
def test_no_file_gives_rights_and_none_is_the_user_s(name: str) -> None:
    files = IMAGES[name].files.values()
    assert [entry.name for entry in files if entry.is_file and entry.mode & 0o6000] == []
    assert [entry.name for entry in files if entry.user == 10001] == []
    assert [entry.name for entry in files if entry.is_file and entry.mode & 0o002] == []


@every_image
def test_nothing_can_build_or_install(name: str) -> None:
    programs = {path.rpartition("/")[2] for path in IMAGES[name].files if "/bin/" in path or "/sbin/" in path}
    assert "python3.12" in programs
    assert programs & {"cc", "c++", "gcc", "g++", "ld", "make", "pip", "pip3", "pip3.12", "uv", "uvx"} == set()
    assert [path for path in IMAGES[name].files if path.endswith(("/pip/__init__.py", "/setuptools/__init__.py"))] == []


@every_image
def test_every_module_is_compiled_and_its_source_never_looked_at(name: str) -> None:
    files = IMAGES[name].files
    modules = [path for path in files if path.endswith(".py") and path.startswith(("opt/", "usr/local/lib/python3"))]
    assert len(modules) > 3000
    for path in modules:
        compiled = path.rpartition("/")[0] + f"/__pycache__/{Path(path).stem}.cpython-312.pyc"
        assert compiled in files, path
        assert int.from_bytes(files[compiled].head[4:8], "little") == 0b01, compiled  # by hash, unchecked


@every_image
def test_nothing_tells_when_it_was_built(name: str) -> None:
    image = IMAGES[name]
    own = image.layers[len(shared_layers()) - 2 :]  # from the standard library's on; below is the base image
    assert {entry.time for layer in own for entry in layer.entries} <= {EPOCH, 0}
    assert [path for path in image.files if path.endswith("/uv_cache.json")] == []


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of what the images are made of, beside what brings a builder if that is there."""
    if (ROOT.parent / "shared").exists():
        (tmp_path / "shared").symlink_to(ROOT.parent / "shared")
    copied = tmp_path / "repository"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in filter(None, listed.split("\0")):
        (copied / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copied / path)
    return copied


def built(clone: Path, name: str, *options: str) -> Image:
    """Return an image that is built anew, beside the one that there is."""
    image = IMAGES[name]
    registry = image.reference.rpartition("/")[0]
    revision = image.config["config"]["Labels"]["org.opencontainers.image.revision"]
    arguments = [name, "--registry", registry, "--tag", "again", "--revision", revision, *options]
    subprocess.run([clone / "images/build", *arguments], check=True)
    return written(clone / ".local/images.yaml")[name]


@pytest.mark.timeout(1200)
def test_the_same_commit_gives_the_same_digest(clone: Path) -> None:
    again = built(clone, "weather-alerts", "--", "--no-cache")
    assert again.reference == IMAGES["weather-alerts"].reference


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "file",
    [
        "code_locations/weather/alerts/src/weather_alerts/definitions.py",
        "libs/sensor_assets/src/sensor_assets/_scan.py",
    ],
)
def test_a_change_of_code_moves_less_than_a_megabyte(clone: Path, file: str) -> None:
    with (clone / file).open("a") as code:
        code.write("\nCHANGED = True\n")
    before, after = IMAGES["weather-alerts"], built(clone, "weather-alerts")
    moved = [layer for layer in after.layers if layer not in before.layers]
    assert len(moved) == 1
    assert 0 < size(moved) < MB
