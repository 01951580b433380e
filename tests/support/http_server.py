#!/usr/bin/env python3
"""An HTTP server for tests of the routine type http. The path says what it does:

    /echo           answers with the request as JSON        /busy/NAME/N  429 with Retry-After: 1 N times, then echo
    /say/CODE/TEXT  answers with that status and text       (+ is a blank)
    /status/CODE    answers with that status                /text, /bytes answer with text, with bytes that are no text
    /large/N        N bytes                                 /cut          ends in the middle of its body
    /hang/FILE      never answers, writes a line "begun" to FILE, and "gone" when the client has hung up

Prints "listening on PORT" and serves until it is killed.
"""
import json
import select
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

counts, keys = {}, {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="text/plain; charset=utf-8", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def echo(self, **more):
        seen = {"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": self.sent.decode(), **more}
        self.answer(200, json.dumps(seen).encode(), "application/json", X_Seen="yes")

    def hang(self, path):
        with open(path, "a") as f:
            print("begun", file=f, flush=True)
            poll = select.poll()
            poll.register(self.connection, select.POLLIN | select.POLLRDHUP | select.POLLHUP)
            poll.poll()
            print("gone", file=f, flush=True)
        self.close_connection = True

    def handle_any(self):
        self.sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        what, _, rest = self.path[1:].partition("/")
        if what == "busy":
            name, n = rest.split("/")
            with lock:
                counts[name] = counts.get(name, 0) + 1
                keys.setdefault(name, []).append(self.headers.get("Idempotency-Key"))
                again = counts[name] <= int(n)
            self.answer(429, b"", Retry_After="1") if again else self.echo(attempts=counts[name], keys=keys[name])
        elif what == "say":
            status, text = rest.split("/")
            self.answer(int(status), text.replace("+", " ").encode())
        elif what == "status":
            self.answer(int(rest), b"so it is")
        elif what == "text":
            self.answer(200, "grün".encode())
        elif what == "bytes":
            self.answer(200, b"\xff\x00\xfe", "application/octet-stream")
        elif what == "large":
            self.answer(200, b"x" * int(rest))
        elif what == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif what == "hang":
            self.hang("/" + unquote(rest))
        elif what == "status.json":
            self.answer(200, b'{"status": "green"}', "application/json")
        else:
            self.echo()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on {server.server_address[1]}", flush=True)
server.serve_forever()
