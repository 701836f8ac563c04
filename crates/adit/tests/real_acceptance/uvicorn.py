#!/usr/bin/env python3
"""Stands in for uvicorn and the services that examples start with it.

Called as `uvicorn APP [--reload] --port PORT`. As the real one, with `--reload` it does not serve itself: a child does,
of which it takes no care when it is ended.

It writes what happens into the file `journal`, a line each. While there is a file `asleep`, it
does not begin to listen; while there is a file `thinking`, it answers no task; while there is a file `hold`, it calls
nobody back.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# As server.py of the gateway examples.
WORK = 1
PAUSE = 1
TRIES = 5


def note(line):
    with open("journal", "ab", buffering=0) as journal:
        journal.write((line + "\n").encode())


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        note(f"{self.path} {json.dumps(body)}")
        self.answer(body)

    def do_GET(self):
        note(self.path)
        self.answer(None)

    def answer(self, body):
        status, answer = 200, None
        if self.path == "/process":
            while os.path.exists("thinking"):
                time.sleep(0.01)
            answer = {"task_id": body.get("task_id", "unknown")}
            if body.get("callback_url"):
                threading.Thread(target=finish, args=[body]).start()
        elif self.path == "/echo":
            answer = {"echo": body}
        elif self.path == "/v1/chat/completions":
            answer = {"choices": [{"message": {"content": "ADVICE ON " + body["messages"][1]["content"]}}]}
        elif self.path == "/progress":
            Service.asked += 1
            answer = {"status": "done" if Service.asked > 2 else "running", "asked": Service.asked}
        else:
            status, answer = 404, {"detail": "Not Found"}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    # How often somebody has asked for progress.
    asked = 0

    def log_message(self, *args):
        pass


def finish(task):
    time.sleep(WORK)
    while os.path.exists("hold"):
        time.sleep(0.01)
    data = task.get("data", "")
    result = {"processed_data": data.upper(), "length": len(data)}
    body = json.dumps({"task_id": task["task_id"], "result": result}).encode()
    for _ in range(1 + TRIES):
        request = urllib.request.Request(task["callback_url"], body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                note(f"called back {response.status}")
                return
        except OSError as error:
            note(f"failed {error}")
        time.sleep(PAUSE)


def main():
    arguments = sys.argv[1:]
    note(f"pid {os.getpid()}")
    if "--reload" in arguments:
        arguments.remove("--reload")
        sys.exit(subprocess.call([sys.executable, __file__, *arguments]))
    while os.path.exists("asleep"):
        time.sleep(0.01)
    port = int(arguments[arguments.index("--port") + 1])
    server = ThreadingHTTPServer(("127.0.0.1", port), Service)
    print(f"INFO:     Uvicorn running on http://127.0.0.1:{port} (Press CTRL+C to quit)", file=sys.stderr, flush=True)
    server.serve_forever()


main()
