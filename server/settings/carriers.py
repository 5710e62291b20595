"""Phone networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from server.auth import is_loopback
from server.settings.declaring import Group, setting
from server.settings.values import HostPort, Networks, Url, Word, host_and_port

TWILIO, PBX = "Twilio", "Asterisk (AudioSocket)"


class Twilio(Group):
    """Media Streams."""

    twilio_account_sid: Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")] | None = setting(
        TWILIO,
        "TWILIO_ACCOUNT_SID",
        None,
        "The account whose calls are taken; those of another one are refused.",
        allowed="AC and 32 hexadecimal digits",
    )
    twilio_auth_token: SecretStr | None = setting(
        TWILIO,
        "TWILIO_AUTH_TOKEN",
        None,
        "With it every webhook and media connection must be signed by Twilio; without it they are refused "
        "(but see `TALKWIRE_TWILIO_UNSIGNED`).",
        allowed="the account's auth token",
    )
    twilio_auth_token_secondary: SecretStr | None = setting(
        TWILIO,
        "TWILIO_AUTH_TOKEN_SECONDARY",
        None,
        "A second token whose signatures are taken as well, while the account's token is rotated: the new one before "
        "it is promoted, or the old one after. Leave it unset at all other times.",
        allowed="another auth token of the account, besides TWILIO_AUTH_TOKEN",
    )
    twilio_api_url: Url = setting(
        TWILIO,
        "TWILIO_API_BASE_URL",
        "https://api.twilio.com",
        "Where calls are dialled and ended, for another region of Twilio's or a stand-in for it.",
        allowed="an http or https URL",
    )
    twilio_unsigned: Annotated[Literal["never", "loopback"], Word] = setting(
        TWILIO,
        "TALKWIRE_TWILIO_UNSIGNED",
        "never",
        "`loopback`: without an auth token, take unsigned requests of this machine, for trying out.",
    )
    twilio_lead_ms: Annotated[int, Field(ge=100, le=500)] = setting(
        TWILIO,
        "TALKWIRE_TWILIO_LEAD_MS",
        300,
        "How far ahead of its being heard audio is sent. More bridges longer stalls of the server.",
        unit="ms",
    )
    twilio_resume_s: Annotated[float, Field(ge=0, le=60)] = setting(
        TWILIO,
        "TALKWIRE_TWILIO_RESUME_S",
        10.0,
        "How long a call whose media stream broke off waits for Twilio to open another one. 0: it ends at once.",
        unit="s",
    )

    @field_validator("twilio_auth_token_secondary")
    @classmethod
    def _besides(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """A second token alone would be the first one, misspelt."""
        if value is not None and info.data.get("twilio_auth_token", value) is None:
            raise ValueError("there is no first one")
        return value

    @property
    def twilio_auth_tokens(self) -> dict[str, str]:
        """The tokens that Twilio may sign with, by the names of their settings."""
        tokens = {
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
            "TWILIO_AUTH_TOKEN_SECONDARY": self.twilio_auth_token_secondary,
        }
        return {name: token.get_secret_value() for name, token in tokens.items() if token is not None}


class Pbx(Group):
    """AudioSocket."""

    audiosocket_allow: Networks = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_ALLOW",
        (),
        "Whose connections are taken. The protocol has no credentials, so that an address other than loopback is "
        "listened on only where this says who may come. Unset: everybody who reaches the loopback address.",
        allowed="IP addresses and networks separated by commas, for example 10.0.0.5,192.168.1.0/24",
    )
    audiosocket: HostPort | None = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET",
        None,
        "Where a PBX connects with the audio of its calls: `127.0.0.1:9092`. Unset: it cannot. An address other than "
        "loopback needs `TALKWIRE_AUDIOSOCKET_ALLOW`.",
        allowed="an address and a port, and with an address that others reach TALKWIRE_AUDIOSOCKET_ALLOW, too",
    )
    audiosocket_to: Annotated[str, Field(min_length=1, max_length=200)] | None = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_TO",
        None,
        "The number that a call counts as made to which the PBX did not announce (`POST /v1/audiosocket/calls`); the "
        "agent of that number answers it. Unset: such calls are refused.",
        allowed="a number, an extension, or whatever the agent's channel has as its ref",
    )
    audiosocket_lead_ms: Annotated[int, Field(ge=40, le=300)] = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_LEAD_MS",
        60,
        "How far ahead of its being heard audio is sent. It waits in the caller's telephone, and cannot be taken back: "
        "so much is heard more of a bot that is interrupted.",
        unit="ms",
    )
    audiosocket_way_ms: Annotated[int, Field(ge=0, le=500)] = setting(
        PBX,
        "TALKWIRE_AUDIOSOCKET_WAY_MS",
        0,
        "How long audio takes from the PBX to the caller's ear: the network and the telephone's buffer, often 50 to "
        "150 ms. Nothing on this connection tells it, and words are told so much too early where it is not set.",
        unit="ms",
    )

    @field_validator("audiosocket")
    @classmethod
    def _closed(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Nobody shows who he is there: it is open to loopback, or to those that were named."""
        if (
            value is not None
            and not info.data.get("audiosocket_allow", True)
            and not is_loopback(host_and_port(value)[0])
        ):
            raise ValueError("nobody is allowed there")
        return value
