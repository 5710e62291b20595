"""Twilio's REST API, as far as it is needed: calls, numbers, and the account.

Source: https://www.twilio.com/docs/voice/api/call-resource and .../phone-numbers/api/incomingphonenumber-resource.
Twilio's own client is not used for it: it blocks, and its import takes 26 MB for four kinds of request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import httpx

from telephony.errors import CarrierRefused, CarrierUnreachable

API_URL: Final = "https://api.twilio.com"
TIMEOUT_S: Final = 10.0
PAGE: Final = 1000
MAX_PAGES: Final = 20

Fields = Sequence[tuple[str, str]]


class Rest:
    """The API of one account. ``auth_tokens``: one; or two while it is rotated: the next is tried where Twilio does not
    know one any more."""

    def __init__(
        self,
        account_sid: str,
        auth_tokens: str | Sequence[str],
        base_url: str = API_URL,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        tokens = [auth_tokens] if isinstance(auth_tokens, str) else auth_tokens
        self._auths = [httpx.BasicAuth(account_sid, token) for token in tokens]
        self._root = f"/2010-04-01/Accounts/{account_sid}"
        # Certificates are loaded where needed: that reads files. No proxy of the environment is meant for this.
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout_s, trust_env=False)
        self._timeout_s = timeout_s

    async def create_call(self, fields: Fields) -> dict[str, Any]:
        """Raises ``CarrierRefused``, ``CarrierUnreachable``, as all of them."""
        return await self._ask("POST", "/Calls.json", fields)

    async def update_call(self, sid: str, fields: Fields) -> dict[str, Any]:
        return await self._ask("POST", f"/Calls/{sid}.json", fields)

    async def fetch_call(self, sid: str) -> dict[str, Any]:
        return await self._ask("GET", f"/Calls/{sid}.json")

    async def numbers(self) -> list[dict[str, Any]]:
        """The account's numbers, as Twilio describes them."""
        return await self._all("/IncomingPhoneNumbers.json", "incoming_phone_numbers")

    async def caller_ids(self) -> list[dict[str, Any]]:
        """Numbers of others that the account may show as its own: each was verified by a call."""
        return await self._all("/OutgoingCallerIds.json", "outgoing_caller_ids")

    async def update_number(self, sid: str, fields: Fields) -> dict[str, Any]:
        return await self._ask("POST", f"/IncomingPhoneNumbers/{sid}.json", fields)

    async def account(self) -> dict[str, Any]:
        """What Twilio says of the account itself."""
        return await self._request("GET", f"{self._root}.json")

    async def balance(self) -> dict[str, Any]:
        """What is left on the account."""
        return await self._ask("GET", "/Balance.json")

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _all(self, path: str, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following: str | None = f"{self._root}{path}?PageSize={PAGE}"
        for _ in range(MAX_PAGES):
            if not following:
                break
            page = await self._request("GET", following)
            found += page.get(key) or []
            following = page.get("next_page_uri")
        return found

    async def _ask(self, method: str, path: str, fields: Fields = ()) -> dict[str, Any]:
        return await self._request(method, self._root + path, fields)

    async def _request(self, method: str, url: str, fields: Fields = ()) -> dict[str, Any]:
        # httpx takes a repeated name as a list of values.
        form: dict[str, list[str]] = {}
        for name, value in fields:
            form.setdefault(name, []).append(value)
        try:
            answer = await self._known(method, url, form)
        except httpx.TimeoutException:
            raise CarrierUnreachable(f"Twilio gave no answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CarrierUnreachable(
                f"Twilio cannot be reached: {str(error) or type(error).__name__}"
            ) from None
        try:
            body = answer.json()
        except ValueError:
            body = None
        told = body if isinstance(body, dict) else {}
        if not 200 <= answer.status_code < 300:
            raise _refusal(answer.status_code, told)
        if not isinstance(body, dict):
            raise CarrierRefused("Twilio's answer is no JSON object", status=answer.status_code)
        return told

    async def _known(self, method: str, url: str, form: dict[str, list[str]]) -> httpx.Response:
        """The answer to a request, with a token that Twilio knows, if there is one."""
        while True:
            auth = self._auths[0]
            answer = await self._http.request(method, url, data=form or None, auth=auth)
            if answer.status_code != 401:
                return answer
            # Another request may have found that out meanwhile.
            if auth is self._auths[0]:
                if len(self._auths) == 1:
                    return answer
                del self._auths[0]


def _refusal(status: int, told: dict[str, Any]) -> CarrierRefused:
    number = told.get("code")
    number = number if isinstance(number, int) else None
    message = str(told.get("message") or f"HTTP {status}")[:300]
    text = f"Twilio refused: {message}" + (f" (error {number})" if number is not None else "")
    if status == 401:
        text += "; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
    return CarrierRefused(text, status=status, number=number)
