"""docker-compose.yml and Dockerfile, as far as they can be tested without an engine: what they say is so, and runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from collectors import quiet_port, wait_until
from test_collector_config import FILES

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
MANIFEST = (ROOT / "collector-config" / "builder" / "collector.yaml").read_text()
INSTALLED = "/opt/otel-llm-sql"


def dockerfile() -> dict[str, list[tuple[str, str]]]:
    """Stage -> its instructions, with what they say; the last stage has no name."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    stages: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        instruction, _, told = line.partition(" ")
        if instruction == "FROM":
            image, _, name = told.partition(" AS ")
            current = stages[name] = list(stages.get(image, ()))
        else:
            current.append((instruction, told))
    return stages


STAGES = dockerfile()


def command(stage: str, instruction: str) -> list[str]:
    """The words of ENTRYPOINT, CMD or HEALTHCHECK."""
    told = [text for name, text in STAGES[stage] if name == instruction][-1]
    words: list[str] = json.loads(told[told.index("[") :])
    return words


# -- docker-compose.yml


def test_it_is_a_compose_file() -> None:
    """It is valid by the schema of the Compose specification."""
    schema = json.loads((ROOT / "tests" / "compose_spec" / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**COMPOSE, "services": {"receiver": {"bild": "."}}})


def test_what_is_mounted_exists() -> None:
    """Files that are mounted are in the repository, and volumes that are named are declared."""
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], volume


def test_services_that_are_spoken_to_are_there() -> None:
    """Whoever is depended on, or named in an address, is a service; builds name stages of the Dockerfile."""
    for service in SERVICES.values():
        told = " ".join(map(str, service.get("environment", {}).values()))
        named = {*service.get("depends_on", ()), *re.findall(r"(?://|@)([a-z]+):\d+", told)}
        assert named <= set(SERVICES), named
        build = service.get("build")
        assert build is None or build == "." or build["target"] in STAGES


def test_nothing_is_open_to_others() -> None:
    """Every published port is on the loopback address."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_collector_is_one_that_was_tested() -> None:
    """The image has the version that the tests run, and the file is one that it takes, with variables it asks for."""
    collector = SERVICES["collector"]
    version = re.findall(r"^  version: (.*)$", MANIFEST, re.MULTILINE)
    assert [collector["image"]] == [f"otel/opentelemetry-collector-contrib:{number}" for number in version]
    source, target, _ = collector["volumes"][0].split(":")
    assert collector["command"] == [f"--config={target}"]
    assert Path(source).name in FILES
    asked = set(re.findall(r"\$\{env:(\w+)", (ROOT / source).read_text()))
    assert set(collector["environment"]) <= asked
    assert (
        collector["environment"]["COLLECTOR_TOKEN"] in SERVICES["example"]["environment"]["OTEL_EXPORTER_OTLP_HEADERS"]
    )


# -- Dockerfile


def test_the_image_is_small_and_not_root() -> None:
    """A slim base, a user with a number, a health check, and only files that the context holds."""
    text = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(bases) == {"python:3.13-slim", "installed"}
    for stage in ("", "example"):
        assert [told for name, told in STAGES[stage] if name == "USER"] == ["10001:10001"]
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for told in re.findall(r"^COPY ([^-\n].*)$", text, re.MULTILINE) for name in told.split()[:-1]}
    assert {name.removeprefix("./") for name in copied} == sent
    assert all((ROOT / name).exists() for name in sent)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in the place of the image's root, after the RUN lines of the example, which are all there are."""
    root = tmp_path_factory.mktemp("image")
    context = root / "src"
    context.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "otel_llm_sql", "examples"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, context / name)
    for instruction, told in STAGES["example"]:
        if instruction == "RUN":
            line = told.replace(INSTALLED, f"{root}{INSTALLED}").replace("python -m venv", "python3 -m venv")
            ran = subprocess.run(shlex.split(line), cwd=context, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
    return root


@pytest.fixture
def environment(image: Path, tmp_path: Path) -> dict[str, str]:
    """What a container has, with a database of SQLite in the place of PostgreSQL."""
    home = {"HOME": str(tmp_path), "PATH": f"{image}{INSTALLED}/bin:{os.environ['PATH']}"}
    return {**home, "OTEL_EXPORTER_LLM_SQL_URL": f"sqlite:///{tmp_path}/llm.db"}


@pytest.fixture
def served(image: Path, environment: dict[str, str]) -> Iterator[dict[str, int]]:
    """The container's own command, on other ports; it is healthy by its own check."""
    ports = {"4318": quiet_port(), "4317": quiet_port()}

    def local(words: list[str]) -> list[str]:
        text = json.dumps(words).replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - replaced
        return list(json.loads(re.sub(r"431[78]", lambda found: str(ports[found[0]]), text)))

    def healthy() -> bool:
        check = local(command("", "HEALTHCHECK"))
        return subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0

    start = local([*command("", "ENTRYPOINT"), *command("", "CMD")])
    start[0] = f"{image}{INSTALLED}/bin/{start[0]}"
    assert not healthy()
    with subprocess.Popen(start, env=environment, cwd=image) as container:
        wait_until(lambda: container.poll() is not None or healthy(), "the container is healthy")
        yield ports
        container.terminate()
        assert container.wait(60) == 0


def test_image_and_example_run(image: Path, environment: dict[str, str], served: dict[str, int]) -> None:
    """In a clean virtual environment: what the image starts takes what the example tells, and rows are there."""
    told = {name: str(value) for name, value in SERVICES["example"]["environment"].items()}
    told |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{served['4318']}", "ROUNDS": "1"}
    assert told["OTEL_EXPORTER_OTLP_HEADERS"].startswith("authorization=Bearer%20")
    program = command("example", "CMD")
    program[0] = f"{image}{INSTALLED}/bin/{program[0]}"
    ran = subprocess.run(
        program, env=environment | told, cwd=image / "src", capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    query = [f"{image}{INSTALLED}/bin/otel-llm-sql", "sql", "SELECT count(*) AS calls FROM llm_operations"]
    asked = subprocess.run(query, env=environment, cwd=image, capture_output=True, text=True, check=False)
    assert re.search(r"\b9\b", asked.stdout), asked.stdout + asked.stderr
