#!/usr/bin/env python3
"""Made ready once, serves many tasks. Run by examples/exec_serve.json."""
import json
import sys

words = {"one": 1, "two": 2, "three": 3}  # a model, a connection, or whatever takes its time
for line in sys.stdin:
    call = json.loads(line)
    say = lambda **what: print(json.dumps({"id": call["id"], **what}), flush=True)
    word = call["task"]["data"]["item"]
    say(emit="number", data={"word": word, "number": words.get(word)})
    say(done=True)
