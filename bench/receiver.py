"""The cheapest receiver of alerts: answers `ok` to every POST and remembers when which phone number came.

`python -m bench.receiver PORT`. GET answers everything seen so far as JSON: a list of [seconds since the epoch, phone].
"""

import asyncio
import json
import re
import sys
import time
from contextlib import suppress

_PHONE = re.compile(rb"tel:(\+\d+)")
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length.group(1))) if length else b""
            answer = b"ok"
            if head.startswith(b"GET"):
                answer = json.dumps(_seen).encode()
            else:
                phone = _PHONE.search(body)
                _seen.append((time.time(), phone.group(1).decode() if phone else ""))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
    writer.close()


_seen: list[tuple[float, str]] = []


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port, limit=1024 * 1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
