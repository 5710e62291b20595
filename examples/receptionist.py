"""Takes table reservations: the server's language model talks, this process has the book.

    OPENAI_API_KEY=sk-... make run                            # or OPENAI_BASE_URL; see docs/engines.md
    .venv/bin/python examples/receptionist.py
    .venv/bin/talkwire call --say "a table for two tonight at eight please"

It shows tools, prompt variables that are set anew for each answer, and a skill that the model has only when it needs it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from talkwire_agent import Call, Talkwire, ToolError
from talkwire_agent.events import SessionIdleWarning

PROMPT = """You take table reservations for {{restaurant}}. {{date_block}}
Ask for time, number of guests and a name; one question at a time. Look up the free tables before you promise one.
Repeat the reservation and wait for a yes before you book.
Tonight {{free}} tables are free."""

tw = Talkwire()
agent = tw.agent(
    "receptionist",
    llm={"enabled": True},
    prompt=PROMPT,
    greeting="Good evening, this is the Blue Door. For when may I reserve you a table?",
)
agent.phone("+15550002222")
cancelling = agent.skill(
    "cancelling",
    "For a caller who wants to cancel a reservation.",
    instructions="Ask for the number of the reservation, and say that there is no fee.",
)


@dataclass
class Table:
    """A table, and who has it."""

    time: str
    seats: int
    name: str | None = None
    number: str | None = None


class Book:
    """Tonight's tables."""

    def __init__(self) -> None:
        self.tables = [Table(time, seats) for time in ("18:00", "20:00") for seats in (2, 2, 6)]
        self._numbers = itertools.count(101)

    def free(self, guests: int) -> list[Table]:
        return [table for table in self.tables if table.name is None and table.seats >= guests]

    def take(self, time: str, guests: int, name: str) -> Table:
        for table in self.free(guests):
            if table.time == time:
                table.name, table.number = name, str(next(self._numbers))
                return table
        raise ToolError(f"there is no table for {guests} at {time}")

    def give_back(self, number: str) -> None:
        for table in self.tables:
            if table.number == number:
                table.name = table.number = None
                return
        raise ToolError(f"there is no reservation {number}")


book = Book()


@agent.on("call.preparing")
def fresh(call: Call) -> None:
    """Before each answer: the model is to know how things are now."""
    call.set_prompt_vars(restaurant="the Blue Door", free=len(book.free(1)))


@agent.tool
def free_tables(guests: Annotated[int, Field(ge=1, le=6)]) -> list[str]:
    """Look up at what times a table is free tonight.

    Args:
        guests: How many come.
    """
    return sorted({table.time for table in book.free(guests)})


@agent.tool(filler="One moment, I write it down.", timeout_s=10)
def reserve(time: str, guests: int, name: str, call: Call) -> dict[str, Any]:
    """Book a table. Only when the caller has said yes.

    Args:
        time: As free_tables gives it.
        guests: How many come.
        name: Of the caller.
    """
    table = book.take(time, guests, name)
    print(f"reserved for {name} ({call.from_}): {table.time}, {guests} guests, number {table.number}")
    return {"number": table.number}


@cancelling.tool
def cancel(number: str) -> str:
    """Cancel a reservation, by its number."""
    book.give_back(number)
    return "cancelled"


@agent.on("session.idle_warning")
def still_there(event: SessionIdleWarning, call: Call) -> None:
    if event.remaining_seconds > 0:
        call.say("Are you still there?")


@agent.on("session.timeout")
def goodbye(call: Call) -> None:
    call.say("I hang up now. Call again at any time.")


if __name__ == "__main__":
    tw.run()
