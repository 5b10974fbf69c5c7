"""`images/build` calls Docker as it should, writes down what came out, and says what is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "a" * 64
FAKE = """#!PYTHON
import json, os, sys
from pathlib import Path
arguments = sys.argv[2:]
if arguments[:1] == ["version"]:
    sys.exit(0)
registry = os.environ["REGISTRY"]
locations = {"operations-departures": "operations", "fleet-aircraft": "fleet"}
targets = {name: {"args": {"TEAM": team}, "tags": [f"{registry}/{name}:dev"]} for name, team in locations.items()}
targets |= {"platform": {"args": {}, "tags": [f"{registry}/platform:dev"]}, "shared": {"args": {}}}
if "--print" in arguments:
    print(json.dumps({"target": targets}))
    sys.exit(0)
Path("called.json").write_text(json.dumps([arguments, os.environ["REVISION"]]))
if "broken" in os.environ:
    sys.exit(1)
wanted = [word for word in arguments[1:] if word in targets] or [name for name in targets if name != "shared"]
digest = "sha256:" + os.environ.get("digit", "a") * 64
[file] = [word.removeprefix("--metadata-file=") for word in arguments if word.startswith("--metadata-file=")]
Path(file).write_text(json.dumps({name: {"containerimage.digest": digest} for name in wanted}))
"""


class Clone:
    """A repository with `images/build` and nothing beside it, and a Docker that only notes how it is called."""

    def __init__(self, root: Path) -> None:
        self.root = root / "repository"
        (self.root / "images").mkdir(parents=True)
        shutil.copy2(ROOT / "images/build", self.root / "images/build")
        self.programs = root / "programs"
        self.programs.mkdir()
        (self.programs / "git").symlink_to(str(shutil.which("git")))

    def install_docker(self) -> None:
        (self.programs / "docker").write_text(FAKE.replace("PYTHON", sys.executable))
        (self.programs / "docker").chmod(0o755)

    def build(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("REGISTRY", "TAG", "REVISION")}
        environment = {**kept, "PATH": str(self.programs), **variables}
        command = [sys.executable, self.root / "images/build", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def called(self) -> tuple[list[str], str]:
        arguments, revision = json.loads((self.root / "called.json").read_text())
        return [word for word in arguments if not word.startswith("--metadata-file=")], revision

    def written(self, file: str = ".local/images.yaml") -> object:
        return yaml.safe_load((self.root / file).read_text())["images"]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone(tmp_path)
    clone.install_docker()
    return clone


def test_all_images_are_built_and_their_digests_written_down(clone: Clone) -> None:
    result = clone.build("--registry", "ghcr.io/acme", "--revision", "abc")
    assert result.returncode == 0, result.stderr
    assert clone.called() == (["bake", "--provenance=false", "--sbom=false", "--push"], "abc")
    assert clone.written() == {
        "platform": f"ghcr.io/acme/platform@{DIGEST}",
        "locations": {
            "fleet-aircraft": f"ghcr.io/acme/fleet-aircraft@{DIGEST}",
            "operations-departures": f"ghcr.io/acme/operations-departures@{DIGEST}",
        },
    }


def test_the_digests_of_images_that_are_not_built_stay(clone: Clone) -> None:
    clone.build(REGISTRY="ghcr.io/acme")
    result = clone.build("fleet-aircraft", REGISTRY="ghcr.io/acme", digit="b")
    assert result.stdout == f"fleet-aircraft ghcr.io/acme/fleet-aircraft@sha256:{'b' * 64}\n"
    assert clone.written() == {
        "platform": f"ghcr.io/acme/platform@{DIGEST}",
        "locations": {
            "fleet-aircraft": f"ghcr.io/acme/fleet-aircraft@sha256:{'b' * 64}",
            "operations-departures": f"ghcr.io/acme/operations-departures@{DIGEST}",
        },
    }


def test_options_reach_docker(clone: Clone) -> None:
    file = "--file=tests/x.hcl"
    clone.build("--attest", file, "--output", str(clone.root / "x.yaml"), "platform", "--", "--no-cache", REGISTRY="r")
    attestations = ["--provenance=mode=max", "--sbom=true"]
    assert clone.called()[0] == ["bake", file, "platform", *attestations, "--no-cache", "--push"]
    assert clone.written("x.yaml") == {"platform": f"r/platform@{DIGEST}"}


def test_the_revision_is_the_commit_and_says_when_files_differ_from_it(clone: Clone) -> None:
    git = ["git", "-C", str(clone.root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    (clone.root / ".gitignore").write_text("/.local/\n/called.json\n")
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--no-verify", "--message", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    clone.build(REGISTRY="r")
    assert clone.called()[1] == head
    (clone.root / "another").write_text("")
    clone.build(REGISTRY="r")
    assert clone.called()[1] == f"{head}-dirty"


def test_outside_a_clone_there_is_no_revision(clone: Clone) -> None:
    clone.build(REGISTRY="r", GIT_CEILING_DIRECTORIES=str(clone.root.parent))
    assert clone.called()[1] == ""


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["--tag", "x"], {}, "where do the images go? images/build --registry ghcr.io/acme, or REGISTRY in the"),
        (
            ["fleet"],
            {"REGISTRY": "r"},
            "there is no image fleet; there are fleet-aircraft, operations-departures, plat",
        ),
        ([], {"REGISTRY": "r", "broken": "1"}, "the images were not built; what went wrong stands above"),
    ],
)
def test_what_is_wrong_is_one_line(clone: Clone, arguments: list[str], variables: dict[str, str], message: str) -> None:
    result = clone.build(*arguments, **variables)
    assert result.returncode == 1
    assert result.stderr.startswith(f"images/build: {message}")
    assert result.stderr.count("\n") == 1
    assert not (clone.root / ".local").exists()


def test_without_docker_it_says_what_to_install(tmp_path: Path) -> None:
    result = Clone(tmp_path).build(REGISTRY="r")
    assert result.returncode == 1
    assert result.stderr.startswith("images/build: Docker with buildx is needed, and neither is on PATH: https://docs")
    assert result.stderr.count("\n") == 1
