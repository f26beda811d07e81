"""A small web service: a greeting at /, its release at /version, its health at /healthz. Standard library only."""

import json
import logging
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """The release that was installed; the image carries it in the file VERSION."""
    return (HERE / "VERSION").read_text(encoding="utf-8").strip()


class Handler(BaseHTTPRequestHandler):
    server_version = "web"
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        if self.path == "/":
            self.reply(200, "text/html; charset=utf-8", self.server.page)
        elif self.path == "/version":
            body = json.dumps({"version": self.server.version}).encode()
            self.reply(200, "application/json", body)
        elif self.path == "/healthz":
            if self.server.draining.is_set():
                self.reply(503, "text/plain", b"draining\n")
            else:
                self.reply(200, "text/plain", b"ok\n")
        else:
            self.reply(404, "text/plain", b"not found\n")

    do_HEAD = do_GET

    def reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, pattern: str, *values: object) -> None:
        logging.info("%s %s", self.address_string(), pattern % values)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Handler)
        self.page = (HERE / "index.html").read_bytes()
        self.version = read_version()
        self.draining = threading.Event()


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    address = (os.environ.get("WEB_ADDRESS", "0.0.0.0"), int(os.environ.get("WEB_PORT", "8080")))
    server = Server(address)

    def stop(*_: object) -> None:
        # The load balancer sees /healthz fail and sends no more requests while open ones end.
        server.draining.set()
        delay = float(os.environ.get("WEB_DRAIN_SECONDS", "20"))
        threading.Timer(delay, server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    logging.info("web %s serves on %s:%d", server.version, *server.server_address[:2])
    server.serve_forever()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
