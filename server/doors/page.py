"""``GET /``: what runs here, for somebody who opens the address in a browser."""

from __future__ import annotations

from html import escape

from server.services import Services
from server.version import __version__

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Talkwire</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }}
code, pre {{ background: #f2f2ee; border-radius: 4px; padding: .1em .3em; }} pre {{ padding: .8em; overflow: auto; }}
table {{ border-collapse: collapse; }} td, th {{ text-align: left; padding: .2em 1.2em .2em 0; }}
</style></head><body>
<h1>Talkwire {version}</h1>
<p>The server is running{draining}. Agents connect to <code>{client}</code>, Twilio's voice webhook is
<code>POST {webhook}</code>.</p>
{details}
</body></html>
"""


def render(services: Services, *, detailed: bool) -> str:
    """The page. Who is online and what is going on is shown on this machine only (``detailed``)."""
    url = services.settings.public_url
    return _PAGE.format(
        version=escape(__version__),
        draining=" and takes no further calls" if services.calls.draining else "",
        client=escape(url.replace("http", "ws", 1) + "/client"),
        webhook=escape(url + "/twilio/voice"),
        details=_details(services) if detailed else "",
    )


def _details(services: Services) -> str:
    rows = "".join(
        f"<tr><td>{escape(agent.agent_id)}</td><td>"
        f"{escape(', '.join(channel.ref for channel in agent.channels.values()) or 'no channel')}</td></tr>"
        for agent in services.agents.online()
    )
    agents = (
        f"<table><tr><th>agent</th><th>answers</th></tr>{rows}</table>"
        if rows
        else "<p>No agent is online: calls are rejected.</p>"
    )
    return (
        f"<p>Live calls: {len(services.calls)}. Ears: {escape(services.defaults.stt.first or 'none')}, "
        f"voice: {escape(services.defaults.tts.first)}.</p>{agents}"
        "<h2>Call it</h2><pre>talkwire call examples/clips/time.wav examples/clips/goodbye.wav</pre>"
    )
