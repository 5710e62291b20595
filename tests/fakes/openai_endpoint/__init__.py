"""An endpoint of OpenAI's shape on a loopback port, over real HTTP, that can be told to misbehave.

In a test::

    async with endpoint(key="sk-test", tts_ms=50) as server:
        server.tts.next(Plan(status=500), Plan(cut_after=3))   # the next two requests for speech
        ...  # AsyncOpenAI(base_url=server.base_url, api_key="sk-test")
        assert server.tts.requests[0].json["input"] == "Hello."

As a process of its own: ``python -m tests.fakes.openai_endpoint --help``.
"""

from tests.fakes.openai_endpoint.plan import FOREVER, Plan, Settings
from tests.fakes.openai_endpoint.record import Recorded
from tests.fakes.openai_endpoint.server import Endpoint, Route, endpoint

__all__ = ["FOREVER", "Endpoint", "Plan", "Recorded", "Route", "Settings", "endpoint"]
