#!/usr/bin/env python3
"""A model that answers only when as many calls as its argument says are under way at the same time, for a test of many.

Prints "listening on PORT", later "N under way"; answers all when a line comes on standard input.
"""
import asyncio
import json
import resource
import sys

wanted = int(sys.argv[1])
under_way = 0
go = asyncio.Event()
reply = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Here."}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode()


async def serve(reader, writer):
    global under_way
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            under_way += 1
            if under_way == wanted:
                print(f"{wanted} under way", flush=True)
            await go.wait()
            under_way -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply) + reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2048)
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: (sys.stdin.readline(), go.set()))
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
asyncio.run(main())
