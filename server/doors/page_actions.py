"""What the page of a browser call may do, over its data channel."""

from __future__ import annotations

from typing import Any

import orjson
import structlog

from pipeline.session import Session
from pipeline.tools import ToolResult
from server.agents import merged
from server.browser_call import BrowserCall
from server.page_config import PageConfigError, filtered
from server.protocol import DONE, ErrorCode, Outcome, failed
from server.protocol.acks import ack_of_action
from server.protocol.page import (
    AnyPageAction,
    PageConfigure,
    PageError,
    PageInjectText,
    PageMute,
    PagePing,
    PagePlayout,
    PagePong,
    PageSetContext,
    PageToolAnswer,
    PageUnmute,
    parse_action,
)
from server.resolve import resolve
from server.services import Services

log = structlog.get_logger(__name__)

PER_S = 20
"""Actions of a page that are carried out each second, in the long run; bare pings are not counted."""
BURST = 60


class Allowance:
    """How many actions a page still has, refilled by time."""

    def __init__(self, now: float) -> None:
        self._left, self._at = float(BURST), now

    def take(self, now: float) -> bool:
        self._left = min(float(BURST), self._left + (now - self._at) * PER_S)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class PageActions:
    """Of one call."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._allowance = Allowance(services.clock.epoch())

    def __call__(self, browser: BrowserCall, text: str) -> None:
        """Carry out one message of the page."""
        if text == "ping":
            return
        fields, outcome = _read(text), failed(ErrorCode.BAD_MESSAGE, 'send a JSON object with "action"')
        if not self._allowance.take(self._services.clock.epoch()):
            outcome = failed(ErrorCode.BAD_MESSAGE, f"at most {PER_S} actions a second are carried out")
        elif fields is not None:
            try:
                outcome = self._guarded(browser, parse_action(fields))
            except ValueError as error:
                outcome = failed(ErrorCode.BAD_MESSAGE, str(error))
        _answer(browser, fields or {}, outcome)

    def _guarded(self, browser: BrowserCall, action: AnyPageAction) -> Outcome:
        if isinstance(action, PagePlayout):
            browser.plays(action.buffer_ms, clears=action.clears)
            return DONE
        session = browser.call.session
        if session is None or session.ended:
            return failed(ErrorCode.CALL_UNKNOWN, "the call has not begun, or is over")
        found: list[Outcome] = []
        # A bug that an action meets is this call's.
        session.guarded(lambda: found.append(self._carry_out(browser, action)))
        return found[0] if found else failed(ErrorCode.INTERNAL_ERROR, "the action met a fault of the server")

    def _carry_out(self, browser: BrowserCall, action: AnyPageAction) -> Outcome:
        session = browser.call.session
        assert session is not None
        match action:
            case PagePing():
                browser.say(PagePong(timestamp=self._services.clock.epoch()))
            case PageMute():
                session.mute("user")
            case PageUnmute():
                session.unmute()
            case PageInjectText():
                if not session.typed(action.text):
                    return failed(ErrorCode.REQUEST_REFUSED, "the call is on hold: send the text again later")
            case PageSetContext():
                return _set_context(browser, action)
            case PageToolAnswer():
                return _answer_tool(session, action)
            case PageConfigure():
                return self._configure(browser, action)
        return DONE

    def _configure(self, browser: BrowserCall, action: PageConfigure) -> Outcome:
        call = browser.call
        try:
            wanted, refused = filtered(action.model_extra or {})
        except PageConfigError as error:
            return failed(ErrorCode.BAD_MESSAGE, str(error))
        if refused:
            log.warning("webrtc.config_refused", call_id=call.call_id, keys=refused[:20])
        # The page's own layer is there from the beginning; what its agent says of the call stays above it.
        layers = list(call.config.layers)
        place = 1 if call.configured else 0
        layers[place] = merged(layers[place], wanted)
        self._services.calls.configure(call, resolve(layers, self._services.defaults))
        return Outcome(extras={"refused": refused}) if refused else DONE


def _set_context(browser: BrowserCall, action: PageSetContext) -> Outcome:
    session = browser.call.session
    assert session is not None
    try:
        session.answering.briefing.prompt.put(action.key, action.value)
    except ValueError as error:
        return failed(ErrorCode.REQUEST_REFUSED, str(error))
    return DONE


def _answer_tool(session: Session, action: PageToolAnswer) -> Outcome:
    given = ToolResult(action.tool_call_id, action.result, action.ephemeral, action.no_followup)
    if session.answering.tool_result(action.msg_id, [given], by="page")[action.tool_call_id] != "unknown":
        return DONE
    text = "the page was asked for no such tool: repeat msg_id and tool_call_id of tool.started"
    return failed(ErrorCode.RESULT_UNKNOWN, text)


def _read(text: str) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def _answer(browser: BrowserCall, fields: dict[str, Any], outcome: Outcome) -> None:
    ack, action = fields.get("ack"), str(fields.get("action", ""))[:60]
    facts = browser.call.facts
    told = ack_of_action(
        ack if isinstance(ack, str) else None, action, outcome, facts.agent_id, facts.call_id
    )
    if told is not None:
        browser.say(told)
    elif outcome.code is not None:
        browser.say(PageError(error=outcome.message, code=outcome.code, action=action))
