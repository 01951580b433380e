"""A model and tools that judge numbers: whatever JSON the model has sent as arguments must come back from each
tool as an equal value, to the last digit.

    number_server.py SEED          serves; prints "listening on PORT"
    number_server.py shown SEED    reads what a client was shown of a call ({"tool", "arguments"}) and says what
                                   is wrong with it

    POST /v1/chat/completions      calls each tool with arguments at random, judges the results, says "right" or what is wrong
    POST /echo                     sends the body back as it came"""
import http.server
import json
import os
import random
import signal
import sys

TOOLS = ["exec", "http", "child", "jq", "plugin"]
SAFE = 2**53


def number(r):
    kind = r.randrange(8)
    if kind == 0:
        return r.randint(-10, 10)
    if kind == 1:
        return r.choice([-1, 1]) * (SAFE + r.randint(-3, 3))
    if kind == 2:
        return r.choice([2**63 - 1, -(2**63), 2**64 - 1, 10**18, 10**15, -(10**15), 2**60, 2**63])
    if kind == 3:
        return r.getrandbits(64)
    if kind == 4:
        return r.getrandbits(63) - 2**62
    if kind == 5:
        return r.uniform(-1, 1) * 10 ** r.randint(-20, 20)
    if kind == 6:
        return r.choice([0.1, 1e300, 5e-324, 1.5, -0.25, 1e-7])
    return r.getrandbits(53)


def value(r, depth):
    kind = r.randrange(10 if depth < 4 else 6)
    if kind < 4:
        return number(r)
    if kind == 4:
        return r.choice([None, True, False])
    if kind == 5:
        return r.choice(["", "9007199254740993", "ä\u20ac😀\"\\\n", str(r.getrandbits(64)), "1e400"])
    if kind < 8:
        return [value(r, depth + 1) for _ in range(r.randrange(5))]
    return {r.choice(["id", "n", "x y", "ü", "k" + str(r.randrange(9))]): value(r, depth + 1) for _ in range(r.randrange(5))}


def arguments(seed, tool):
    r = random.Random(f"{seed}/{tool}")
    return {"id": r.choice([SAFE + 1, -(SAFE + 1), 2**64 - 1, 123456789123456789]), "any": [value(r, 1) for _ in range(12)]}


def same(a, b):
    """Equal as JSON values; True is no number."""
    if isinstance(a, bool) or isinstance(b, bool) or isinstance(a, str) or a is None:
        return type(a) is type(b) and a == b
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return isinstance(b, (int, float)) and a == b


def shown(v):
    """As a google.protobuf.Value shows it."""
    if isinstance(v, list):
        return [shown(i) for i in v]
    if isinstance(v, dict):
        return {k: shown(i) for k, i in v.items()}
    return str(v) if type(v) is int and abs(v) > SAFE else v


def result_of(tool, content):
    got = json.loads(content)
    return got["outputs"][0]["data"]["arguments"] if tool == "child" else got


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seed, faults = "", []

    def log_message(self, *_):
        pass

    def send(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send(body if self.path == "/echo" else json.dumps(self.reply(json.loads(body))).encode())

    def judge(self, tool, what, got):
        if not same(arguments(self.seed, tool), got):
            self.faults.append(f"{what} of {tool}: {json.dumps(arguments(self.seed, tool))} became {json.dumps(got)}")

    def reply(self, request):
        results = [m for m in request["messages"] if m["role"] == "tool"]
        for m in request["messages"]:
            for c in m.get("tool_calls", []):
                self.judge(c["id"], "the call", json.loads(c["function"]["arguments"]))
        for m in results:
            self.judge(m["tool_call_id"], "the result", result_of(m["tool_call_id"], m["content"]))
        message = {"role": "assistant", "content": self.faults[0] if self.faults else "right"}
        if not results:
            message = {"role": "assistant", "content": None, "tool_calls": [
                {"id": t, "type": "function", "function": {"name": t, "arguments": json.dumps(arguments(self.seed, t))}}
                for t in TOOLS]}
        return {"id": "x", "object": "chat.completion", "choices": [
            {"index": 0, "message": message, "finish_reason": "stop" if results else "tool_calls"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


if sys.argv[1] == "shown":
    data = json.load(sys.stdin, parse_int=float)  # a client writes doubles as it likes
    want = shown(arguments(sys.argv[2], data["tool"]))
    if not same(want, data["arguments"]):
        sys.exit(f"{json.dumps(want)} is shown as {json.dumps(data['arguments'])}")
else:
    Handler.seed = sys.argv[1]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print("listening on", server.server_port, flush=True)
    server.serve_forever()
