"""Checks of this machine: settings, keys, data directory, ports."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Final

import httpx

from server.auth import is_loopback
from server.cluster.address import own_address
from server.commands.doctor.case import Case
from server.commands.doctor.findings import Finding, fail, ok, skipped, warn
from server.past import StoreUnavailable
from server.secrets import API_KEY_FILE
from server.settings import Settings, SettingsError
from server.settings.values import MEMORY, host_and_port

SHORT_KEY: Final = 16
"""Characters of a key that could be guessed by trying."""
LITTLE, VERY_LITTLE = 2 << 30, 200 << 20
"""Bytes that are free."""
BYTES_PER_S: Final = 2 * 2 * 16_000
"""Of a recording of a browser call, stereo WAV; on the phone it is half of that."""
SQLITE: Final = "sqlite:///"
MOST_PORTS: Final = 4000
"""So many are tried; with more of them there is no want."""


async def settings(case: Case) -> Finding:
    found = case.settings
    if found.warnings:
        return warn("; ".join(found.warnings), "correct or remove them")
    return ok(
        f"{len(found.sources)} are set, the others are at their defaults (`talkwire config` lists them)"
    )


async def keys(case: Case) -> Finding:
    found = case.settings
    path = found.data_dir.absolute() / API_KEY_FILE
    if found.api_keys:
        values = [key.get_secret_value() for key in found.api_keys]
        if any(len(value) < SHORT_KEY for value in values):
            return warn(
                f"TALKWIRE_API_KEYS has a key of less than {SHORT_KEY} characters, which can be guessed",
                "make a longer one: openssl rand -hex 16",
            )
        where = f"{len(values)} in TALKWIRE_API_KEYS"
    else:
        key, mode = await asyncio.to_thread(_read, path)
        if key is None:
            return ok(f"none is set: the first start makes one, in {path}")
        if mode & 0o077:
            return warn(f"{path} can be read by other users of this machine", f"chmod 600 {path}")
        values, where = [key], f"one, in {path}"
    if not (await case.local()).ours:
        return ok(where)
    async with httpx.AsyncClient(timeout=case.timeout_s, trust_env=False) as http:
        for value in values:
            answer = await http.get(
                f"{case.local_url}/v1/stats", headers={"Authorization": f"Bearer {value}"}
            )
            if answer.status_code == 401:
                return fail(
                    f"{where}; the running server does not take them",
                    "it was started with other keys: start it again",
                )
    return ok(f"{where}; the running server takes them")


def _read(path: Path) -> tuple[str | None, int]:
    """What a file holds, and its mode; None where it is not there."""
    try:
        return path.read_text("ascii").strip() or None, path.stat().st_mode
    except FileNotFoundError:
        return None, 0


async def disk(case: Case) -> Finding:
    return await asyncio.to_thread(_disk, case.settings)


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir.absolute()
    for path in (folder, folder / "recordings"):
        place = _nearest(path)
        try:
            with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-"):
                pass
        except OSError as error:
            return fail(
                f"{place} cannot be written: {error.strerror or error}",
                "make it writable for the user that runs the server, or set TALKWIRE_DATA_DIR to another directory",
            )
    free = shutil.disk_usage(_nearest(folder / "recordings")).free
    text = f"{folder} can be written, {_size(free)} are free"
    text += f": {free / BYTES_PER_S / 3600:.0f} hours of recordings"
    remedy = "free some space, or set TALKWIRE_RECORDINGS_MAX_BYTES, so that the oldest recordings go first"
    if free < VERY_LITTLE:
        return fail(text, remedy)
    return warn(text, remedy) if free < LITTLE else ok(text)


def _nearest(path: Path) -> Path:
    """The folder, or the one in which it will be made."""
    while not path.exists():
        path = path.parent
    return path


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


async def database(case: Case) -> Finding:
    url = case.settings.database
    if url == MEMORY:
        return skipped("TALKWIRE_DATABASE_URL is memory: calls do not outlive the server")
    path = Path(url.removeprefix(SQLITE))
    if url.startswith(SQLITE) and not await asyncio.to_thread(path.exists):
        return ok(f"{path} is made with the first start")
    # Loads SQLAlchemy, which takes its time.
    loading = await asyncio.to_thread(import_module, "server.store.migrate")
    opened = await asyncio.to_thread(import_module, "server.store.opened")
    try:
        found = await asyncio.to_thread(opened.database_of, case.settings)
    except SettingsError as error:
        return fail(str(error), "install what it names, or set TALKWIRE_DATABASE_URL to another database")
    try:
        version = await loading.version(found)
    except (StoreUnavailable, ValueError) as error:
        return fail(
            f"{found.name}: {error}",
            "check that it runs, and address, user and password in TALKWIRE_DATABASE_URL; meanwhile calls wait on disk",
        )
    finally:
        await found.aclose()
    if version == loading.HEAD:
        return ok(f"{found.name} answers, and its tables are of version {version}")
    if found.is_sqlite:
        return ok(f"{found.name} is brought from version {version} to {loading.HEAD} with the next start")
    return fail(f"{found.name} has tables of version {version}, and needs {loading.HEAD}", "talkwire migrate")


async def redis(case: Case) -> Finding:
    settings = case.settings
    if settings.redis_url is None:
        return skipped("TALKWIRE_REDIS_URL is unset: this server is the only one")
    try:
        module = await asyncio.to_thread(import_module, "server.cluster.probe")
    except ImportError:
        return fail("the client of Redis is not installed", "pip install 'talkwire[redis]'")
    try:
        known = await module.nodes(settings)
    except module.RedisAway as away:
        return fail(
            f"Redis cannot be used: {away}",
            "check that it runs, and the address and the password in TALKWIRE_REDIS_URL; meanwhile each node is alone",
        )
    address = await asyncio.to_thread(own_address, settings)
    here = f"this node is {address} for the others"
    if not settings.api_keys or (settings.secret is None and known):
        lacking = "TALKWIRE_API_KEYS" if not settings.api_keys else "TALKWIRE_SECRET"
        return warn(
            f"{len(known)} nodes are there, {here}; nodes on other machines would make keys of their own",
            f"set {lacking}, the same for all nodes; on one machine they may share a data directory instead",
        )
    silent = [url for url in known if not await module.reached(url)]
    if silent:
        return fail(
            f"nodes that say they live are not reached: {', '.join(silent)}",
            "open their ports between the machines, or set TALKWIRE_NODE_URL to an address that the others can reach",
        )
    return ok(f"{len(known)} nodes are there and are reached; {here}")


async def server(case: Case) -> Finding:
    local, settings = await case.local(), case.settings
    place = f"{settings.host} port {settings.port}"
    if local.ours:
        return ok(f"Talkwire {local.version} runs with this data directory, on {place}")
    if local.version is not None:
        return fail(
            f"on {place} another Talkwire runs ({local.version}), or one with another data directory",
            "stop it or set TALKWIRE_PORT to another port; or give the doctor the TALKWIRE_DATA_DIR of that server",
        )
    taken = await asyncio.to_thread(_taken, settings.host, settings.port)
    if taken is not None:
        return fail(
            f"{place} is not to be had: {taken}, and it is no Talkwire that answers there",
            "stop what uses it, or set TALKWIRE_PORT (and TALKWIRE_HOST) to another",
        )
    return skipped(f"it does not run; {place} is free", "start it (talkwire serve) and ask again")


async def audiosocket(case: Case) -> Finding:
    place = case.settings.audiosocket
    if place is None:
        return skipped("TALKWIRE_AUDIOSOCKET is unset")
    host, port = host_and_port(place)
    if not (await case.local()).ours:
        taken = await asyncio.to_thread(_taken, host, port)
        if taken is None:
            return ok(f"{place} is free; the server does not run")
        return fail(f"{place} is not to be had: {taken}", "set TALKWIRE_AUDIOSOCKET to another port")
    try:
        async with asyncio.timeout(case.timeout_s):
            _, writer = await asyncio.open_connection(_reached(host), port)
    except OSError as error:
        return fail(
            f"the running server does not listen on {place}: {error.strerror or error}",
            "it was started with other settings: start it again",
        )
    writer.close()
    open_to = "everybody" if is_loopback(host) else ", ".join(case.settings.audiosocket_allow)
    return ok(f"listens on {place}, to {open_to} who reaches it")


def _reached(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _taken(host: str, port: int) -> str | None:
    """Why the port is not to be had; None: it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None


async def udp(case: Case) -> Finding:
    found = case.settings
    if not found.webrtc:
        return skipped("TALKWIRE_WEBRTC is off")
    if case.is_public and not found.webrtc_address and not found.ice_servers:
        return warn(
            "browsers are told the addresses of this machine's network cards alone",
            "behind a NAT or in a container set TALKWIRE_WEBRTC_ADDRESS to the public address, or "
            "TALKWIRE_ICE_SERVERS to a STUN server",
        )
    if found.webrtc_ports is None:
        return ok(
            "the system chooses the ports; set TALKWIRE_WEBRTC_PORTS where a firewall is to let them through"
        )
    first, last = found.webrtc_ports
    free = await asyncio.to_thread(_free, first, min(last, first + MOST_PORTS - 1))
    text = f"{free} of the {last - first + 1} ports {first}-{last} are free"
    if free >= min(found.max_calls, MOST_PORTS):
        return ok(text)
    if (await case.local()).ours:
        return ok(f"{text}; the running server's calls use others")
    return (warn if free else fail)(
        f"{text}; TALKWIRE_MAX_CALLS is {found.max_calls}, and each call takes one for each address of this machine",
        "set TALKWIRE_WEBRTC_PORTS to a larger range, or one that nothing else uses",
    )


def _free(first: int, last: int) -> int:
    free = 0
    for port in range(first, last + 1):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                continue
            free += 1
    return free
