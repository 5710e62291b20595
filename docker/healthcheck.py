"""The image's health check: ``GET /healthz`` of the server in this container. Exit status 0: it is well.

It stands for itself: the image has no curl, and importing the server would cost more than asking it. No proxy
of the environment is asked, as ``urllib`` would do.
"""

# ruff: noqa: TID251 - a program of its own reads the environment itself

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_S = 3.0


def main() -> int:
    port = int(os.environ.get("TALKWIRE_PORT") or 8080)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer from port {port}: {error}\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"/healthz answers {status}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
