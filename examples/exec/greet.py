#!/usr/bin/env python3
"""Greets by name; asks for the name when it is not there. Run by examples/exec_python.json."""
import json
import sys

call = json.load(sys.stdin)
name = call["task"]["data"].get("name") or call["task"]["data"].get("answer")
if name:
    print(json.dumps({"set": "greeted", "value": call["state"].get("greeted", 0) + 1}))
    print(json.dumps({"emit": "greeting", "data": {"text": f"Hello, {name}!"}}))
else:
    print(json.dumps({"pause": "What is your name?", "slot": "answer"}))
