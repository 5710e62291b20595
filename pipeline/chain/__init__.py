"""Several engines of one kind in a row, behind the port of one: what fails with the first is done by the next.

A chain is made for each call from engines that all calls share. It keeps the deadlines of its stage, asks
again where nothing was lost by a failure, and tells each time with a ``Takeover``. An engine that is only slow
is not given up while another is asked: whoever answers first is heard. The last one in a row may take longer,
for there is nobody to take its place; where there is a single engine it is asked a second time.

``Health`` is shared by all calls, so that an outage costs one call its patience and not each of them.
"""

from __future__ import annotations

from pipeline.chain.ears import SttChain
from pipeline.chain.row import Choice, Deadlines, Health
from pipeline.chain.streams import LlmChain, TtsChain

__all__ = ["Choice", "Deadlines", "Health", "LlmChain", "SttChain", "TtsChain"]
