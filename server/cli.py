"""The ``talkwire`` command. What a subcommand needs is imported when it runs: worker processes import this
module, and ``talkwire version`` should not wait for a web framework."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from server.version import __version__

if TYPE_CHECKING:
    from server.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    # Before numpy is imported: its threads would cost the loop more than they save on sizes such as ours.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - written for numpy, not read
    parser = argparse.ArgumentParser(prog="talkwire", description="A self-hostable voice agent server.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the server")
    serve.add_argument(
        "--workers", type=int, metavar="N", help="so many processes on one port (TALKWIRE_WORKERS)"
    )
    serve.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    commands.add_parser("config", help="print every setting, its value and where it comes from")
    commands.add_parser("migrate", help="make the database's tables what this version needs")
    commands.add_parser("version", help="print the version")
    forget = commands.add_parser("forget", help="delete all that is kept of one caller")
    call = commands.add_parser("call", help="call a running server as a phone would, with recorded speech")
    say = commands.add_parser("say", help="speak a text with the configured voice into a WAV file")
    doctor = commands.add_parser("doctor", help="check the whole installation, and say what to do")
    numbers = commands.add_parser(
        "numbers", help="list the Twilio account's numbers, or point one at this server"
    )
    tune = commands.add_parser("tune", help="show where settings would have ended the turns of a recording")
    command = _peek(argv if argv is not None else sys.argv[1:])
    if command == "call":
        from server.commands import call as call_command

        call_command.add_arguments(call)
    elif command == "say":
        from server.commands import say as say_command

        say_command.add_arguments(say)
    elif command == "forget":
        from server.commands import forget as forget_command

        forget_command.add_arguments(forget)
    elif command == "tune":
        from server.commands import tune as tune_command

        tune_command.add_arguments(tune)
    elif command == "doctor":
        from server.commands import doctor as doctor_command

        doctor_command.add_arguments(doctor)
    elif command == "numbers":
        from server.commands import numbers as numbers_command

        numbers_command.add_arguments(numbers)
    args = parser.parse_args(argv)
    if args.command == "version":
        print(f"talkwire {__version__}")
        return 0
    return _run(args)


def _peek(argv: list[str]) -> str:
    return next((word for word in argv if not word.startswith("-")), "")


def _run(args: argparse.Namespace) -> int:
    from pipeline.errors import ProviderError
    from server.secrets import DataDirError
    from server.settings import SettingsError

    told = (SettingsError, DataDirError, ProviderError)
    try:
        return _dispatch(args)
    except KeyboardInterrupt:
        return 130
    except told as error:
        print(f"talkwire: {error}", file=sys.stderr)
        return 2
    except BaseExceptionGroup as group:
        known, rest = group.split(told)
        if known is None or rest is not None:
            raise
        for leaf in _leaves(known):
            print(f"talkwire: {leaf}", file=sys.stderr)
        return 2


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _dispatch(args: argparse.Namespace) -> int:
    import asyncio

    from server.settings import Settings

    if args.command == "call":
        from server.commands import call as call_command

        return asyncio.run(call_command.run(args))
    if args.command == "doctor":
        from server.commands import doctor as doctor_command

        return asyncio.run(doctor_command.run(args))
    settings = Settings.load()
    if args.command == "numbers":
        from server.commands import numbers as numbers_command

        return asyncio.run(numbers_command.run(args, settings))
    if args.command == "config":
        from server.commands import config as config_command

        config_command.run(settings)
        return 0
    if args.command == "migrate":
        from server.commands import migrate as migrate_command

        return asyncio.run(migrate_command.run(settings))
    if args.command == "forget":
        from server.commands import forget as forget_command

        return asyncio.run(forget_command.run(args, settings))
    if args.command == "say":
        from server.commands import say as say_command

        return asyncio.run(say_command.run(args, settings))
    if args.command == "tune":
        from server.commands import tune as tune_command

        return asyncio.run(tune_command.run(args, settings))
    return _serve(settings, args.workers, supervised=args.worker)


def _serve(settings: Settings, workers: int | None, *, supervised: bool) -> int:
    from server import logs
    from server.sockets import bind, raise_file_limit

    logs.configure(settings.log_level, settings.log_format)
    logs.hide(settings.secrets())
    raise_file_limit()
    if supervised:
        return _work(settings)
    if workers is not None:
        settings = settings.with_workers(workers)
    if settings.workers > 1:
        from server.supervisor import supervise

        return supervise(settings)
    sock = bind(settings)

    import uvloop

    from server.serve import serve

    uvloop.run(serve(settings, sock))
    return 0


def _work(settings: Settings) -> int:
    """One of several processes on one port."""
    import uvloop

    from server.cluster.address import own_address
    from server.serve import serve
    from server.sockets import bind, bind_own

    sock, own = bind(settings, shared=True), bind_own(settings)
    url = own_address(settings, own.getsockname()[1])
    # Whoever started it knows how many there are; here it matters that there are others.
    shared = {"node_url": url, "workers": max(2, settings.workers)}
    uvloop.run(serve(settings.model_copy(update=shared), sock, own, supervised=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
