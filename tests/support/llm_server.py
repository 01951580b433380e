#!/usr/bin/env python3
"""Speaks the protocols of both model providers, for tests. The model's name says what it does:

    say            says a sentence                    tools          calls lookup twice, then says what came back
    ask            calls ask_user                     ask-bad        calls a tool that is not there
    busy-N         429 with Retry-After N times       down-N         500 N times, 529 with anthropic
    unauthorized   401 that repeats the key           wrong          400 with the provider's words
    slow           answers after 30 s                 silent         never begins
    cut            ends in the middle                 garbage        is no JSON
    huge           30 MB                              cached         says a sentence, with cached tokens
    plain          plain JSON, whatever was asked for bad-args       calls a tool with arguments that are no JSON
    ask-any        asks with choices of all kinds         stumble-KIND-N calls lookup (or asks), and refuses once what came back
    same-ids       calls lookup twice, with one id, in each of two turns
    cut-call       calls lookup in a reply that is cut off, then says what came back
    failed         a reply that failed on its way: of no use, but paid for (openai)
    thinking       thinks, calls lookup, says what came back (anthropic)
    stalls         a stream of which nothing comes after its beginning
    redirect       307 to the same server by its other name, localhost
    counted-N      calls lookup N times, one after the other; GET /paid says what all of these have used
    recorded-NAME  what the server NAME has said, as recorded in dialects.json
    echo           a stream with the key in it, one event, in two writes
    echo-parts     a stream with the key in it, in many events

Requests that break the published schemas (schemas/*.json) or the order of calls and results get 400 and are
remembered: GET /log returns all requests as JSON. With the arguments CERTIFICATE KEY it speaks TLS.
Prints "listening on PORT" and serves until it is killed.
"""
import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonschema

log = []
counts = {}
paid = {}  # by Idempotency-Key: tokens of the request and of the reply
lock = threading.Lock()
gate = threading.Semaphore(0)


def validator(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "schemas", name), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


openai_schema = validator("openai_chat_request.json")
anthropic_schema = validator("anthropic_messages_request.json")


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "dialects.json"), encoding="utf-8") as file:
    recorded = json.load(file)


def fault_of(schema, body, conversation):
    """What is wrong with a request: with its shape, or with the order of calls and results."""
    fault = jsonschema.exceptions.best_match(schema.iter_errors(body))
    return f"{fault.json_path}: {fault.message[:300]}" if fault else conversation(body)


def conversation_openai(b):
    open_calls, known = set(), set()
    for m in b["messages"]:
        if m["role"] == "tool":
            if m["tool_call_id"] not in open_calls:
                return "a tool message answers no call"
            open_calls.discard(m["tool_call_id"])
        elif open_calls:
            return "calls without a result"
        for c in m.get("tool_calls", []):
            json.loads(c["function"]["arguments"])
            if c["id"] in known:
                return "two calls with one id"
            known.add(c["id"])
            open_calls.add(c["id"])
    return "calls without a result" if open_calls else None


def conversation_anthropic(b):
    side, open_calls, known = "assistant", set(), set()
    for m in b["messages"]:
        if m["role"] == side:
            return "the sides must take turns, the user first"
        side, others = m["role"], False
        for block in m["content"]:
            if block["type"] == "tool_use":
                if block["id"] in known:
                    return "two calls with one id"
                known.add(block["id"])
                open_calls.add(block["id"])
            elif block["type"] == "tool_result":
                if block["tool_use_id"] not in open_calls or others:
                    return "a result of no call, or one that does not come first"
                open_calls.discard(block["tool_use_id"])
            elif side == "user":
                others = True
        if side == "user" and open_calls:
            return "calls without a result"
    return "calls without a result" if open_calls else None


def results_of(body, openai):
    """What the tools have said so far."""
    results = []
    for m in body["messages"]:
        if openai and m["role"] == "tool":
            results.append(m["content"])
        elif not openai:
            results += [b["content"] for b in m["content"] if b["type"] == "tool_result"]
    return results


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("x-request-id", "req-openai")
        self.send_header("request-id", "req-anthropic")
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path.endswith("/paid"):
            with lock:
                return self.send(200, {"calls": len(paid), "input": sum(p[0] for p in paid.values()),
                                       "output": sum(p[1] for p in paid.values())})
        if self.path.endswith("/open"):  # what a "gated" stream waits for
            gate.release()
        with lock:
            self.send(200, log)

    def error(self, status, message, headers=()):
        self.send(status, {"type": "error", "error": {"type": "e", "message": message}}, headers=headers)

    def times(self, model):
        with lock:
            counts[model] = counts.get(model, 0) + 1
            return counts[model]

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        openai = self.path.partition("?")[0].endswith("/chat/completions")
        key = self.headers.get("Authorization" if openai else "x-api-key", "")
        fault = (conversation_openai(body) if body.get("model", "").startswith("recorded-")  # more than OpenAI publishes
                 else fault_of(openai_schema, body, conversation_openai) if openai
                 else fault_of(anthropic_schema, body, conversation_anthropic))
        with lock:
            log.append({"path": self.path, "key": key, "api_key": self.headers.get("api-key"), "host": self.headers.get("Host"), "idempotency": self.headers.get("Idempotency-Key"),
                        "version": self.headers.get("anthropic-version"), "expect": self.headers.get("Expect"), "body": body, "fault": fault})
        model = body["model"]
        if fault:
            return self.error(400, fault)
        name, _, number = model.rpartition("-")
        if name == "busy" and self.times(model) <= int(number):
            return self.error(429, "too many requests", [("Retry-After", "0.2")])
        if name == "down" and self.times(model) <= int(number):
            return self.error(500 if openai else 529, "overloaded")
        if model.startswith("recorded-"):
            turn = recorded[model.split("-")[1]][1 if results_of(body, openai) else 0]
            return (self.send(200, turn["sse"].encode(), "text/event-stream") if body.get("stream")
                    else self.send(200, turn["json"]))
        if model.startswith("counted-"):
            return self.send(200, self.counted(body, openai))
        if model == "unauthorized":
            return self.error(401, f"the key {key} is not known")
        if model == "wrong":
            return self.error(400, "max_tokens is too large for this model")
        if model.startswith("stumble-") and results_of(body, openai) and self.times(model) == 1:
            return self.error(400, "not today")
        if model == "redirect":
            elsewhere = f"http://localhost:{self.server.server_address[1]}{self.path}"
            return self.send(307, {}, headers=[("Location", elsewhere)])
        if model in ("slow", "silent"):
            time.sleep(30)
        if model == "garbage":
            return self.send(200, b"<html>gateway</html>", "text/html")
        if model == "huge":
            return self.send(200, b"[" + b" " * 30_000_000 + b"]")
        reply = self.reply(model, body, openai)
        if model == "cut":
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:20])
            self.close_connection = True
            return None
        if model == "gated":
            gate.acquire()
        if model == "stalls":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b'data: {"choices": [{"index": 0, "delta": {"content": "Pea"}}]}\n\n')
            self.wfile.flush()
            time.sleep(60)
        if model.startswith("echo"):
            return self.echo(key.removeprefix("Bearer "), openai, model == "echo-parts")
        if body.get("stream") and model != "plain":
            return self.stream(reply, openai, number if name == "cutstream" else "", model == "gated")
        return self.send(200, reply)

    def echo(self, key, openai, parts):
        """The key, split where nobody expects it."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

        def event(text):
            data = ({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} if openai else
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
            return ("data: " + json.dumps(data) + "\n\n").encode()

        if not openai:
            self.wfile.write(b'data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}\n\n')
        if parts:
            for text in ["Your key: ", key[:1], key[1:9], key[9:], "."]:
                self.wfile.write(event(text))
                self.wfile.flush()
        else:
            data = event(f"Your key: {key}.")
            middle = data.index(key.encode()) + 9
            self.wfile.write(data[:middle])
            self.wfile.flush()
            time.sleep(0.1)  # so that the two come apart
            self.wfile.write(data[middle:])
        self.wfile.write(b"data: [DONE]\n\n" if openai else event("").replace(b"content_block_delta", b"message_stop"))
        self.close_connection = True

    def counted(self, body, openai):
        """A reply whose tokens are counted, once for each key of idempotency; the model's name says how many times
        lookup is called before. GET /log has what was counted in all."""
        key, n = self.headers.get("Idempotency-Key"), int(body["model"].rpartition("-")[2])
        with lock:
            if key not in paid:
                size = len(json.dumps(body))
                paid[key] = (size % 997 + 1, size % 89 + 1)
            given, said = paid[key]
        done = len(results_of(body, openai))
        calls = [("lookup", {"what": str(done)})] if done < n else []
        if openai:
            m = {"role": "assistant", "content": None if calls else "Counted."}
            if calls:
                m["tool_calls"] = [{"id": f"c{done}", "type": "function",
                                    "function": {"name": c, "arguments": json.dumps(a)}} for c, a in calls]
            return {"id": "x", "choices": [{"index": 0, "message": m, "finish_reason": "tool_calls" if calls else "stop"}],
                    "usage": {"prompt_tokens": given, "completion_tokens": said}}
        content = [{"type": "tool_use", "id": f"c{done}", "name": c, "input": a} for c, a in calls]
        return {"id": "x", "type": "message", "role": "assistant",
                "content": content or [{"type": "text", "text": "Counted."}],
                "stop_reason": "tool_use" if calls else "end_turn",
                "usage": {"input_tokens": given, "output_tokens": said}}

    def reply(self, model, body, openai):
        """What the model answers, in the provider's words."""
        results = results_of(body, openai)
        wanted = body.get("response_format", {}).get("json_schema") or body.get("output_config", {}).get("format")
        text, calls = '{"peace": "quiet"}' if wanted else "Peace is quiet.", []
        if (model in ("tools", "ask", "ask-bad", "ask-any", "thinking", "cut-call") or model.startswith("stumble-")) and results or len(results) == 4:
            text = "I know: " + ", ".join(results)
        elif model == "same-ids":
            text, calls = "", [("lookup", {"what": "one"}), ("lookup", {"what": "two"})]
        elif model == "thinking":
            text, calls = "Let me look.", [("lookup", {"what": "one"})]
        elif model == "bad-args":
            text, calls = "", [("lookup", {})]
        elif model == "tools":
            text = "Let me look."
            calls = [("lookup", {"what": "one"}), ("lookup", {"what": "two"})]
        elif model.startswith("stumble-lookup") or model == "cut-call":
            text, calls = "", [("lookup", {"what": "one"})]
        elif model == "ask-any":
            text, calls = "", [("ask_user", {"question": "Which one?", "choices": [2, {"a": 1, "b": [True, None]}, "red"]})]
        elif model == "ask" or model.startswith("stumble-ask"):
            text, calls = "", [("ask_user", {"question": "Which colour?", "choices": ["red", "blue"]})]
        elif model == "ask-bad":
            text, calls = "", [("juggle", {})]
        cut = model == "cut-call" and calls
        if openai:
            m = {"role": "assistant", "content": text or None}
            if calls:
                m["tool_calls"] = [{"id": "c0" if model == "same-ids" else f"c{i}", "type": "function",
                                    "function": {"name": n, "arguments": "{no" if model == "bad-args" else json.dumps(a)}}
                                   for i, (n, a) in enumerate(calls)]
            usage = {"prompt_tokens": 100, "completion_tokens": 20}
            if model == "cached":
                usage["prompt_tokens_details"] = {"cached_tokens": 60}
            reason = "error" if model == "failed" else "length" if cut else "tool_calls" if calls else "stop"
            return {"id": "x", "choices": [{"index": 0, "message": m, "finish_reason": reason}], "usage": usage}
        content = ([{"type": "text", "text": text}] if text else []) + [
            {"type": "tool_use", "id": "c0" if model == "same-ids" else f"c{i}", "name": n, "input": a}
            for i, (n, a) in enumerate(calls)]
        if model == "thinking" and calls:
            content = [{"type": "thinking", "thinking": "Where would that be?", "signature": "c2lnbmF0dXJl"},
                       {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="}] + content
        usage = {"input_tokens": 100, "output_tokens": 20}
        if model == "cached":
            usage = {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 20}
        return {"id": "x", "type": "message", "role": "assistant", "content": content,
                "stop_reason": "max_tokens" if cut else "tool_use" if calls else "end_turn", "usage": usage}

    def stream(self, reply, openai, cut, gated):
        """The same reply in pieces of three characters."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        sent = 0
        broken = cut and self.times("cutstream-" + cut) <= int(cut)

        def event(data, name=None):
            nonlocal sent
            sent += 1
            if broken and sent > 3:
                raise BrokenPipeError
            self.wfile.write(((f"event: {name}\n" if name else "") + "data: " + json.dumps(data) + "\n\n").encode())
            self.wfile.flush()
            if gated and "Pea" in str(data):
                gate.acquire()

        def pieces(text):
            return [text[i:i + 3] for i in range(0, len(text), 3)]

        try:
            self.stream_openai(reply, event, pieces) if openai else self.stream_anthropic(reply, event, pieces)
        except BrokenPipeError:
            pass
        self.close_connection = True

    def stream_openai(self, reply, event, pieces):
        m = reply["choices"][0]["message"]
        for p in pieces(m["content"] or ""):
            event({"choices": [{"index": 0, "delta": {"content": p}, "finish_reason": None}]})
        for i, c in enumerate(m.get("tool_calls", [])):
            event({"choices": [{"index": 0, "delta": {"tool_calls": [
                {"index": i, "id": c["id"], "type": "function", "function": {"name": c["function"]["name"], "arguments": ""}}]}}]})
            for p in pieces(c["function"]["arguments"]):
                event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": i, "function": {"arguments": p}}]}}]})
        event({"choices": [{"index": 0, "delta": {}, "finish_reason": reply["choices"][0]["finish_reason"]}]})
        event({"choices": [], "usage": reply["usage"]})
        self.wfile.write(b"data: [DONE]\n\n")

    def stream_anthropic(self, reply, event, pieces):
        event({"type": "message_start", "message": {"usage": dict(reply["usage"], output_tokens=1)}}, "message_start")
        event({"type": "ping"}, "ping")
        for i, b in enumerate(reply["content"]):
            kind = b["type"]
            start = {"text": dict(b, text=""), "tool_use": dict(b, input={}),
                     "thinking": dict(b, thinking="", signature="")}.get(kind, b)
            event({"type": "content_block_start", "index": i, "content_block": start}, "content_block_start")
            deltas = []
            if kind == "text":
                deltas = [{"type": "text_delta", "text": p} for p in pieces(b["text"])]
            elif kind == "tool_use":
                deltas = [{"type": "input_json_delta", "partial_json": p} for p in pieces(json.dumps(b["input"]))]
            elif kind == "thinking":
                deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(b["thinking"])]
                deltas.append({"type": "signature_delta", "signature": b["signature"]})
            for d in deltas:
                event({"type": "content_block_delta", "index": i, "delta": d}, "content_block_delta")
            event({"type": "content_block_stop", "index": i}, "content_block_stop")
        event({"type": "message_delta", "delta": {"stop_reason": reply["stop_reason"]},
               "usage": {"output_tokens": reply["usage"]["output_tokens"]}}, "message_delta")
        event({"type": "message_stop"}, "message_stop")


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 2:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
print(f"listening on {server.server_address[1]}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
