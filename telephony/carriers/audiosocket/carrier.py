"""A PBX on AudioSocket as a ``Carrier``: an audio path, and nothing that could be asked of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Never

from telephony.errors import Unsupported
from telephony.ports import Capabilities, DialOrder, ForwardOrder, OwnNumber, TransferOrder

NAME: Final = "audiosocket"
ANNOUNCED: Final = Capabilities(screens=True, refuses=frozenset({"rejected", "busy"}), digits_in=True)
"""Of a call whose dialplan asks before it answers. What was played is not confirmed, and what was sent cannot be taken
back: the playhead is an estimate from the clock of the sending."""
UNANNOUNCED: Final = replace(ANNOUNCED, screens=False, refuses=frozenset())
"""Of one that is there, answered, when it is heard of first."""


class AudioSocketCarrier:
    """Whatever else shall happen to a call, its dialplan does."""

    name = NAME
    capabilities = ANNOUNCED

    async def dial(self, order: DialOrder) -> str:
        self._cannot("dial")

    async def hang_up(self, call_id: str) -> None:
        self._cannot("hang up a call that has no audio yet")

    async def forward(self, call_id: str, order: ForwardOrder) -> None:
        self._cannot("forward calls")

    async def send_digits(self, call_id: str, digits: str) -> None:
        self._cannot("send digits")

    async def confer(self, call_id: str, reference: str) -> None:
        self._cannot("transfer calls")

    async def invite(self, order: TransferOrder) -> str:
        self._cannot("transfer calls")

    async def join(self, call_id: str, reference: str) -> None:
        self._cannot("transfer calls")

    async def bring_back(self, call_id: str) -> None:
        self._cannot("transfer calls")

    async def owns(self, number: str) -> bool:
        return False

    async def numbers(self) -> list[OwnNumber]:
        return []

    async def aclose(self) -> None: ...

    def _cannot(self, what: str) -> Never:
        raise Unsupported(self.name, f"{what}: hang up, and have the dialplan of the PBX do it")
