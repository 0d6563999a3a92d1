"""Run as a script: an issuer's server, which gives out keys, well or badly, as it is told."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

PATH = "/jwks.json"


class Answering(BaseHTTPRequestHandler):
    """Answers as it was told last."""

    how: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[list[float]] = []

    def do_POST(self) -> None:
        """Take what to answer from now on."""
        type(self).how = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._say(200, "")

    def do_GET(self) -> None:
        """Answer, or tell how often it was asked."""
        if self.path == "/asked":
            self._say(200, str(len(self.asked)))
            return
        self.asked.append(time.monotonic())
        time.sleep(self.how.get("slow_s", 0))
        if self.path != PATH:
            self._say(200, self.how["elsewhere"])
            return
        self._say(self.how.get("status", 200), self.how["body"])

    def _say(self, status: int, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status in {301, 302, 307}:
            self.send_header("Location", "/elsewhere.json")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    print(server.server_port, flush=True)  # noqa: T201 - how the test learns the port
    server.serve_forever()
