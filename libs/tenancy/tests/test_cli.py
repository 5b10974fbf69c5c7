"""The command: what it prints, what it writes, and that it never shows a traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tenancy import register, render
from tenancy.cli import main
from tenancy.environments import ENVIRONMENTS, values_path

TENANTS = """\
organization: acme
teams:
  fleet:
    description: Aircraft
    groups: {everyone: viewer}
    quota: {cpu: "2", memory: 4Gi, concurrent_runs: 1}
    contact: {alerts: "#x", email: x@acme.example}
    locations: {aircraft: {}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small repository without problems, its derived files not yet written."""
    (tmp_path / "tenants.yaml").write_text(TENANTS)
    for name in ENVIRONMENTS:
        path = values_path(tmp_path, name)
        path.parent.mkdir(parents=True)
        path.write_text(
            f"environment: {name}\nruns: {{max_concurrent: 1}}\nvariables: {{}}\n"
            "locations: {fleet-aircraft: {variables: {}}}\nstorage: {lean: true}\n"
        )
    project = tmp_path / "code_locations/fleet/aircraft/pyproject.toml"
    project.parent.mkdir(parents=True)
    project.touch()
    return tmp_path


def tenancy(root: Path, *arguments: str) -> Result:
    """Run the command in a repository."""
    result = CliRunner().invoke(main, ["--root", str(root), *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_check_is_content_with_a_good_repository(root: Path) -> None:
    result = tenancy(root, "check")
    assert result.exit_code == 0
    assert result.stdout == "teams: 1, locations: 1, environments: local, dev, staging, prod; no problems\n"


def test_check_prints_the_problems_of_all_files_and_nothing_else(root: Path) -> None:
    (root / "tenants.yaml").write_text(TENANTS.replace("quota", "quotas"))
    values_path(root, "dev").write_text("environment: dev\n")
    result = tenancy(root, "check")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.replace(f"{root}/", "").splitlines() == [
        "environments/dev/values.yaml:1: runs: is missing",
        "environments/dev/values.yaml:1: storage: is missing",
        "environments/dev/values.yaml:1: variables: is missing",
        "environments/dev/values.yaml:1: locations: is missing",
        'tenants.yaml:6: teams.fleet.quotas: unknown key; did you mean "quota"?',
    ]


def test_check_compares_the_folders_with_the_register(root: Path) -> None:
    (root / "code_locations/fleet/aircraft").rename(root / "code_locations/fleet/airports")
    assert tenancy(root, "check").stderr.splitlines() == [
        "code_locations/fleet/aircraft: is in the register, but has no pyproject.toml",
        "code_locations/fleet/airports: is in no team of the register; add it there or remove the folder",
    ]


@pytest.mark.parametrize("command", ["check", "render"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, ": no such file; run this at the root of the repository"),
        (b"", ": is empty"),
        (b"a:\n\tb: 1\n", ":2: is not valid YAML: a tab; indent with spaces"),
        (b"a: \xff\n", ":1: is not UTF-8 (byte 0xff); save it as UTF-8"),
    ],
)
def test_a_register_that_cannot_be_read_is_one_line(
    root: Path, command: str, content: bytes | None, message: str
) -> None:
    register_file = root / "tenants.yaml"
    if content is None:
        register_file.unlink()
    else:
        register_file.write_bytes(content)
    result = tenancy(root, command)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{register_file}{message}\n")


def test_render_writes_every_derived_file_once(root: Path) -> None:
    assert tenancy(root, "render").exit_code == 0
    for path, text in render.derived(register.load(root / "tenants.yaml")).items():
        assert (root / path).read_text() == text
    assert tenancy(root, "render").stdout == ""
    assert [path.name for path in root.rglob(".*") if path.is_file()] == []


def test_render_check_prints_what_differs_and_writes_nothing(root: Path) -> None:
    tenancy(root, "render")
    assert tenancy(root, "render", "--check").exit_code == 0
    workspace = root / "workspace.yaml"
    workspace.write_text(workspace.read_text().replace("fleet-aircraft.sock", "elsewhere.sock").rstrip("\n"))
    (root / "dg.toml").unlink()
    result = tenancy(root, "render", "--check")
    assert result.exit_code == 1
    assert (
        "-      socket: .local/sockets/elsewhere.sock\n+      socket: .local/sockets/fleet-aircraft.sock\n"
        in result.stdout
    )
    assert '+directory_type = "workspace"\n' in result.stdout
    assert result.stderr == "derived files differ from tenants.yaml; run: tenancy render\n"
    assert not (root / "dg.toml").exists()


def test_render_writes_nothing_for_a_wrong_register(root: Path) -> None:
    tenancy(root, "render")
    before = (root / "workspace.yaml").read_bytes()
    (root / "tenants.yaml").write_text(TENANTS.replace("aircraft", "default"))
    assert tenancy(root, "render").exit_code == 1
    assert (root / "workspace.yaml").read_bytes() == before


def test_render_says_which_file_cannot_be_written(root: Path) -> None:
    (root / "workspace.yaml").mkdir()
    result = tenancy(root, "render")
    assert (result.exit_code, result.stderr) == (1, "workspace.yaml: Is a directory\n")


def test_a_register_without_locations_still_gives_files_that_load(root: Path) -> None:
    (root / "tenants.yaml").write_text(TENANTS.replace("{aircraft: {}}", "{}"))
    assert tenancy(root, "render").exit_code == 0
    assert (root / "workspace.yaml").read_text().endswith("load_from: []\n")
