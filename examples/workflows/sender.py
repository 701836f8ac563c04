"""Answers POST /process at once, and calls back a second later with the data in capitals.

It says again what was not heard, five times, a second apart: a tunnel may be on its way back.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def call_back(url, task_id, data):
    result = {"processed_data": data.upper(), "length": len(data)}
    body = json.dumps({"task_id": task_id, "result": result}).encode()
    for _ in range(5):
        time.sleep(1)
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                print(f"callback refused: {error}", flush=True)
                return
        except OSError as error:
            print(f"callback not heard: {error}", flush=True)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"task_id": asked["task_id"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        arguments = (asked["callback_url"], asked["task_id"], asked["data"])
        threading.Thread(target=call_back, args=arguments, daemon=True).start()


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
