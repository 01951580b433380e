#!/bin/sh
# Counts the words of {"text": …}. Run by examples/exec_shell.json.
set -eu
words=$(jq -r '.task.data.text' | wc -w)
echo "{\"log\": \"counted\", \"data\": {\"words\": $words}}"
echo "{\"emit\": \"counted\", \"data\": {\"words\": $words}}"
