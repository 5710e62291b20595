"""Tests of agents without a server and without sound: scripted callers, in this process.

::

    async def test_the_echo() -> None:
        async with ScriptedServer(tw) as server:
            caller = server.call()
            caller.says("good morning")
            assert await caller.heard() == "You said good morning."
"""

from talkwire_agent.testing.call import Message, ScriptedCall
from talkwire_agent.testing.clock import virtual_time
from talkwire_agent.testing.server import ScriptedServer

__all__ = ["Message", "ScriptedCall", "ScriptedServer", "virtual_time"]
