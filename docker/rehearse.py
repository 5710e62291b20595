"""Rehearse the image where no container engine runs: take every step of the Dockerfile in a clean Debian root,
then run the result as docker-compose.yml would, and call it.

    sudo .venv/bin/python docker/rehearse.py [--python PREFIX] [--base DIR] [--arg WITH_FLITE=1]

It needs Linux, root (for mounts and chroot), mmdebstrap, and a Python of the Dockerfile's version. In place of
the official image ``python:X.Y-slim-bookworm`` stands Debian bookworm's smallest system, made by mmdebstrap, with
the libraries that image adds and this machine's Python of the same minor version under /usr/local. Everything
else is the Dockerfile's own: its COPY lines read the same context (by .dockerignore), its RUN lines run as root
in the stage's own root, and the result runs as its USER, without capabilities, on a read-only root, as the first
process of its own PID namespace. Not rehearsed: the network between containers, and the engine itself.
"""

# ruff: noqa: T201, TID251 - a program of its own

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
CONTEXT = HERE.parent
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0
INSIDE = "--inside-the-namespace"
LIBRARIES = (
    "ca-certificates,netbase,tzdata,libbz2-1.0,libexpat1,libffi8,liblzma5,libreadline8,libsqlite3-0,libssl3,"
    "libuuid1,zlib1g"
)
"""What the official slim image has beyond Debian's essential packages."""
PASSED_ON = re.compile(
    r"(?i)(pip_(index_url|extra_index_url|cert|timeout|default_timeout)|(http|https|no)_proxy|ssl_cert_file)"
)
"""Of this machine's environment, what a build behind a proxy or a mirror needs."""


class RehearsalFailed(Exception):
    """A step did not do what it must. The text says which."""


# --- the Dockerfile ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Instruction:
    line: int
    name: str
    flags: Mapping[str, str]
    value: str


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile. Here-documents and parser directives are not known."""
    found: list[Instruction] = []
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not pending):
            continue
        first = first if pending else number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1]
            continue
        name, _, rest = (pending + line).strip().partition(" ")
        pending, flags, rest = "", {}, rest.strip()
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        found.append(Instruction(first, name.upper(), flags, rest))
    return found


def substitute(text: str, values: Mapping[str, str]) -> str:
    """``$NAME`` and ``${NAME}`` by their values; of what is not known, nothing is left, as Docker has it."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda m: values.get(m[1] or m[2], ""), text)


def exec_form(value: str) -> list[str]:
    words = json.loads(value)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise RehearsalFailed(f"not in exec form: {value}")
    return words


class Ignored:
    """Which files of the context a build sees, by .dockerignore: the last line that fits decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self._rules = [
            (not line.startswith("!"), line.lstrip("!")) for line in lines if line and line[0] != "#"
        ]

    def __call__(self, path: str) -> bool:
        parts = path.split("/")
        chain = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        ignored = False
        for ignore, pattern in self._rules:
            if any(_fits(prefix, pattern) for prefix in chain):
                ignored = ignore
        return ignored


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(_fits("/".join(path.split("/")[n:]), pattern[3:]) for n in range(path.count("/") + 1))
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)


def context_files(root: Path, ignored: Ignored) -> Iterator[str]:
    """The files of the context, relative to its root."""
    for folder, folders, files in os.walk(root):
        # Never a part of a context; walking them would take longer than the build.
        folders[:] = [name for name in folders if name not in (".git", ".venv", "node_modules")]
        for name in files:
            path = str((Path(folder) / name).relative_to(root))
            if not ignored(path):
                yield path


# --- building ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stage:
    """What the instructions have made so far: a root that is an overlay above the base, and its settings."""

    root: Path
    layer: Path
    env: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"}
    )
    args: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


class Build:
    """Takes the Dockerfile's instructions one after another."""

    def __init__(self, work: Path, base: Path, arguments: Mapping[str, str]) -> None:
        self._work, self._base, self._arguments = work, base, arguments
        self._stages: dict[str, Stage] = {}
        self._global: dict[str, str] = {}
        self._files = sorted(context_files(CONTEXT, Ignored((CONTEXT / ".dockerignore").read_text())))

    def run(self, instructions: Sequence[Instruction]) -> Stage:
        stage: Stage | None = None
        for step in instructions:
            print(f"  {step.line:3}  {step.name} {step.value[:100]}", flush=True)
            if step.name == "FROM":
                stage = self._from(step)
            elif step.name == "ARG":
                name, _, default = step.value.partition("=")
                target = self._global if stage is None else stage.args
                target[name] = self._arguments.get(name, default)
            elif stage is None:
                raise RehearsalFailed(f"line {step.line}: {step.name} before FROM")
            else:
                self._step(stage, step)
        if stage is None:
            raise RehearsalFailed("no FROM")
        return stage

    def _from(self, step: Instruction) -> Stage:
        image, _, name = substitute(step.value, self._global).partition(" AS ")
        version = subprocess.run(
            ["chroot", self._base, "python", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[1]
        if not image.startswith(f"python:{version.rpartition('.')[0]}-"):
            raise RehearsalFailed(f"{image} is asked for, but the base has Python {version}")
        name = name.strip() or f"stage {len(self._stages)}"
        layer = self._work / f"layer{len(self._stages)}"
        root = overlay(self._work, [self._base], layer)
        for special in ("dev", "proc", "sys"):
            mount("--rbind", f"/{special}", root / special)
        self._stages[name] = Stage(root, layer)
        return self._stages[name]

    def _step(self, stage: Stage, step: Instruction) -> None:
        value = substitute(step.value, {**stage.args, **stage.env})
        match step.name:
            case "ENV":
                for word in shlex.split(value):
                    name, _, stage.env[name] = word.partition("=")
            case "WORKDIR":
                stage.workdir = value
                inside(stage.root, value).mkdir(parents=True, exist_ok=True)
            case "USER":
                stage.user = value
            case "COPY":
                self._copy(stage, step)
            case "RUN":
                self._run(stage, step)
            case "ENTRYPOINT":
                stage.entrypoint = exec_form(value)
            case "CMD":
                stage.cmd = exec_form(value)
            case "HEALTHCHECK":
                stage.healthcheck = exec_form(value.removeprefix("CMD "))
            case "EXPOSE" | "LABEL" | "STOPSIGNAL":
                pass
            case _:
                raise RehearsalFailed(f"line {step.line}: {step.name} is not known here")

    def _run(self, stage: Stage, step: Instruction) -> None:
        passed = {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
        settings = {**passed, **stage.args, **stage.env, "HOME": "/root"}
        words = [f"{name}={value}" for name, value in settings.items()]
        done = subprocess.run(
            [
                "chroot",
                stage.root,
                "/usr/bin/env",
                "-i",
                "-C",
                stage.workdir,
                *words,
                "/bin/sh",
                "-c",
                step.value,
            ],
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RehearsalFailed(f"line {step.line}: RUN ends with {done.returncode}")

    def _copy(self, stage: Stage, step: Instruction) -> None:
        *sources, target = step.value.split()
        origin = self._stages.get(step.flags.get("from", ""))
        place = os.path.normpath(os.path.join(stage.workdir, target))
        for source in sources:
            goal = inside(stage.root, place)
            into = target.endswith("/")
            if origin is not None:
                copy_tree(inside(origin.root, source), goal / Path(source).name if into else goal)
                continue
            files = [path for path in self._files if path == source or path.startswith(f"{source}/")]
            if not files:
                raise RehearsalFailed(f"line {step.line}: {source} is not in the context (.dockerignore?)")
            for path in files:
                single = path == source
                here = (
                    (goal / Path(source).name if into else goal) if single else goal / path[len(source) + 1 :]
                )
                here.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CONTEXT / path, here)
                os.chown(here, 0, 0)
                if mode := step.flags.get("chmod"):
                    here.chmod(int(mode, 8))


def inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def copy_tree(source: Path, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "-T", source, goal], check=True)


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def overlay(work: Path, lower: Sequence[Path], layer: Path | None) -> Path:
    """A root made of ``lower`` (the first is on top), with ``layer`` for what is written; None: read-only."""
    root = Path(tempfile.mkdtemp(prefix="root", dir=work))
    options = f"lowerdir={':'.join(map(str, lower))}"
    if layer is not None:
        scratch = Path(tempfile.mkdtemp(prefix="scratch", dir=work))
        layer.mkdir()
        options += f",upperdir={layer},workdir={scratch}"
    mount("-t", "overlay", "overlay", "-o", options, root)
    if layer is not None:
        root.chmod(0o755)  # mkdtemp made it for root alone, and the server is somebody else.
    return root


def make_base(base: Path, python: Path) -> None:
    """The stand-in for the official image."""
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={LIBRARIES}", "bookworm", base], check=True
    )
    ours = shutil.ignore_patterns(
        "site-packages", "test", "__pycache__", "idlelib", "tkinter", "include", "share"
    )
    shutil.copytree(python, base / "usr/local", symlinks=True, dirs_exist_ok=True, ignore=ours)
    library = next((base / "usr/local/lib").glob("python3.*"))
    packages = library / "site-packages"
    packages.mkdir()
    for package in (python / "lib" / library.name / "site-packages").glob("pip*"):
        copy_tree(package, packages / package.name)
    for name in ("python3", "python"):
        link = base / "usr/local/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)
    # Its first line names the place where this Python was built.
    (base / "usr/local/bin/pip").write_text('#!/bin/sh\nexec /usr/local/bin/python -m pip "$@"\n')
    (base / "usr/local/bin/pip").chmod(0o755)
    for file in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):
        shutil.copyfile(file, inside(base, file))
    subprocess.run(["chroot", base, "ldconfig"], check=True)


# --- running ----------------------------------------------------------------------------------------------


class Containers:
    """Runs commands as the compose file has its services run."""

    def __init__(self, work: Path, base: Path, image: Stage) -> None:
        self._work, self._image, self._lower = work, image, [image.layer, base]

    def root(self, data: Path, *, read_only: bool = False) -> Path:
        """A read-only root with /tmp in memory and ``data`` at /data."""
        root = overlay(self._work, self._lower, None)
        mount("-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", root / "tmp")
        mount("--bind", data, root / "data")
        if read_only:
            mount("-o", "remount,bind,ro", root / "data")
        for special in ("dev", "sys"):
            mount("--rbind", f"/{special}", root / special)
        return root

    def command(self, root: Path, words: Sequence[str], settings: Mapping[str, str]) -> list[str]:
        """A PID namespace whose first process is ``words``, run as the image's user without capabilities."""
        uid, gid = self._image.user.split(":")
        environment = [f"{name}={value}" for name, value in {**self._image.env, **settings}.items()]
        dropped = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *dropped]
        inner = ["chroot", str(root), *user, "env", "-i", "-C", self._image.workdir, *environment, *words]
        script = f"mount -t proc proc {root}/proc && exec {shlex.join(inner)}"
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]

    def run(
        self, root: Path, words: Sequence[str], settings: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(root, words, settings),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )


def first_process(namespace: subprocess.Popen[bytes]) -> int:
    """The process that is number 1 in its namespace, by its number outside."""
    return int(Path(f"/proc/{namespace.pid}/task/{namespace.pid}/children").read_text().split()[0])


def expect(what: str, *, holds: bool, found: object = "") -> None:
    print(f"  {'ok  ' if holds else 'FAIL'}  {what}" + (f": {found}" if found != "" else ""), flush=True)
    if not holds:
        raise RehearsalFailed(what)


def rehearse_run(work: Path, base: Path, image: Stage, settings: dict[str, str]) -> None:
    containers = Containers(work, base, image)
    serve = [*image.entrypoint, *image.cmd]
    foreign = work / "foreign"
    foreign.mkdir(mode=0o755)
    refused = containers.run(containers.root(foreign), serve, {})
    expect(
        "a data directory of another user is refused with the command that helps",
        holds=refused.returncode == 2 and "chown -R 10001:10001" in refused.stderr,
        found=refused.stderr.splitlines()[:1] or refused,
    )
    data = work / "data"
    copy_tree(inside(image.root, "/data"), data)  # As an engine fills a new volume, owner and mode included.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    settings |= {"TALKWIRE_PORT": port, "TWILIO_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}
    root = containers.root(data)
    begun = time.monotonic()
    server = subprocess.Popen(containers.command(root, serve, settings))
    try:
        status = wait_for(f"http://127.0.0.1:{port}/healthz", server)
        expect("/healthz answers 200", holds=status == 200, found=f"after {time.monotonic() - begun:.2f} s")
        rehearse_service(containers, root, data, image, settings)
        begun = time.monotonic()
        os.kill(first_process(server), signal.SIGTERM)
        code = server.wait(STOP_TIMEOUT_S)
        expect(
            "SIGTERM ends process 1 with status 0",
            holds=code == 0,
            found=f"{code} after {time.monotonic() - begun:.2f} s",
        )
    finally:
        server.kill()
        server.wait()


def rehearse_service(
    containers: Containers, root: Path, data: Path, image: Stage, settings: Mapping[str, str]
) -> None:
    """What a running server must do for its neighbours: the health check, the demo agent, a call."""
    url = f"http://127.0.0.1:{settings['TALKWIRE_PORT']}"
    health = containers.run(root, image.healthcheck, settings)
    expect("HEALTHCHECK's command succeeds", holds=health.returncode == 0, found=health.stdout.strip())
    dead = containers.run(root, image.healthcheck, {"TALKWIRE_PORT": "1"})
    expect("and fails where nothing listens", holds=dead.returncode == 1, found=dead.stderr.strip())
    try:
        with urllib.request.urlopen(f"{url}/twilio/voice", data=b"CallSid=CA1", timeout=5) as answer:
            unsigned = answer.status
    except urllib.error.HTTPError as error:
        unsigned = error.code
    expect("an unsigned webhook is refused", holds=unsigned == 403, found=unsigned)
    agent = subprocess.Popen(
        containers.command(
            containers.root(data, read_only=True),
            ["python", "examples/demo_agent.py"],
            {"TALKWIRE_URL": url.replace("http", "ws", 1)},
        ),
        stdout=subprocess.PIPE,
    )
    try:
        line = agent.stdout.readline().decode().strip() if agent.stdout else ""
        expect(
            "the demo agent reads the key from the read-only volume", holds="answering" in line, found=line
        )
        call = containers.run(
            root,
            [
                "talkwire",
                "call",
                "--server",
                url,
                "--out",
                "/tmp/call.wav",
                "examples/clips/time.wav",
                "examples/clips/goodbye.wav",
            ],
            {**settings, "TALKWIRE_PUBLIC_URL": url},
        )
        heard = call.returncode == 0 and "the bot can be heard" in call.stdout
        expect("`talkwire call`, signed, hears the bot", holds=heard, found=call.stderr.strip())
        print("\n".join(f"          {line}" for line in call.stdout.strip().splitlines()[-4:]))
        os.kill(first_process(agent), signal.SIGINT)
        code = agent.wait(10)
        expect("SIGINT ends the demo agent as process 1", holds=code == 130, found=code)
    finally:
        agent.kill()
        agent.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                return int(answer.status)
        except OSError:
            time.sleep(0.02)
    raise RehearsalFailed(f"{url} does not answer; the server ended with {process.poll()}")


def report_image(image: Stage) -> None:
    def megabytes(path: Path) -> str:
        found = subprocess.run(["du", "-sxm", path], capture_output=True, text=True, check=True)
        return found.stdout.split()[0]

    print(
        f"  the image adds {megabytes(image.layer)} MB to its base, of which /venv {megabytes(image.layer / 'venv')} MB"
    )
    owned = subprocess.run(
        ["find", inside(image.root, "/venv"), "-writable", "!", "-user", "0"], capture_output=True, text=True
    )
    expect("nothing in /venv belongs to the server's user", holds=not owned.stdout, found=owned.stdout[:200])


# --- the command ------------------------------------------------------------------------------------------


def give_up(text: str) -> NoReturn:
    print(f"rehearse: {text}", file=sys.stderr)
    sys.exit(2)


def find_python(version: str, given: Path | None) -> Path:
    """The installation of a Python of this minor version: the directory above its bin and lib."""
    if given is not None:
        return given
    program = shutil.which(f"python{version}")
    if program is not None:
        found = subprocess.run(
            [program, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True
        )
        prefix = Path(found.stdout.strip())
        if found.returncode == 0 and prefix != Path("/usr"):
            return prefix
    give_up(
        f"no Python {version} of its own prefix is found; name it with --python, for example "
        f"~/.pyenv/versions/{version}.0"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--python", type=Path, metavar="PREFIX", help="a Python of the Dockerfile's version")
    parser.add_argument(
        "--base", type=Path, metavar="DIR", help="keep the Debian root here, and use it again"
    )
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE", help="a build argument")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server"
    )
    parser.add_argument(INSIDE, action="store_true", dest="inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        if sys.platform != "linux" or os.geteuid() != 0:
            give_up(
                "it needs Linux and root, for mounts and chroot; run it with sudo, or in a virtual machine"
            )
        if shutil.which("mmdebstrap") is None:
            give_up("it needs mmdebstrap; on Debian: apt-get install mmdebstrap")
        # All mounts are made in a namespace of our own: they end with us, and nobody else sees them.
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv, INSIDE])
    instructions = parse((CONTEXT / "Dockerfile").read_text())
    arguments = dict(word.split("=", 1) for word in options.arg)
    version = next(i.value.partition("=")[2] for i in instructions if i.value.startswith("PYTHON_VERSION="))
    python = find_python(arguments.get("PYTHON_VERSION", version), options.python)
    with tempfile.TemporaryDirectory(prefix="talkwire-image-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        # Overlays do not stack on every file system; memory always does.
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", work)
        try:
            rehearse(
                work,
                options.base or work / "base",
                python,
                arguments,
                dict(w.split("=", 1) for w in options.set),
            )
        except (RehearsalFailed, subprocess.SubprocessError) as error:
            print(f"rehearse: {error}", file=sys.stderr)
            return 1
        finally:
            subprocess.run(["umount", "--recursive", "--lazy", work], check=False)
    print("the Dockerfile's steps were taken in a clean Debian root, and their result was run and called")
    return 0


def rehearse(
    work: Path, base: Path, python: Path, arguments: Mapping[str, str], settings: dict[str, str]
) -> None:
    if not base.exists():
        print(f"Debian bookworm with {python.name} as the base", flush=True)
        make_base(base, python)
    print("the Dockerfile's steps", flush=True)
    image = Build(work, base, arguments).run(parse((CONTEXT / "Dockerfile").read_text()))
    report_image(image)
    print("the image, run", flush=True)
    rehearse_run(work, base, image, settings)


if __name__ == "__main__":
    sys.exit(main())
