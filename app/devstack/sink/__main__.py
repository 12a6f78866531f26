"""Run the sink: `python -m app.devstack.sink` on 127.0.0.1, SINK_PORT and SINK_SMTP_PORT, until SIGINT or SIGTERM."""

import signal
import sys

from pydantic import ValidationError

from app.devstack.sink.app import SinkServer, create_sink
from app.devstack.sink.settings import SinkSettings


def main() -> int:
    """Serve. 1 when the settings cannot be used or a port is taken."""
    try:
        settings = SinkSettings()
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        sys.stderr.write(f"{str(first['loc'][0]).upper()}: {first['msg']}\n")
        return 1
    server = SinkServer(create_sink(settings), port=settings.sink_port, smtp_port=settings.smtp_port)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these and then raises them again for whoever handled them before: stopping is no failure.
        signal.signal(number, server.handle_exit)
    try:
        server.run()
    except OSError as taken:
        sys.stderr.write(f"SINK_SMTP_PORT: {taken.strerror or taken}\n")
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
