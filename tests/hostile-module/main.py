"""A module that says in each place where it can what would do something to a terminal."""

import base64
import json
import os
import socket
import sys

NASTY = "a\u001b[8mb\u001b]0;x\u0007c\u202ed\re\u009b31mf\u2066\u007f\nforged"
LINE = NASTY.replace("\n", " ")

connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(os.environ["IXT_IPC_SOCKET"])
lines = connection.makefile("rb")


def send(frame):
    connection.sendall(json.dumps(frame, ensure_ascii=False).encode("utf-8") + b"\n")


def error(request):
    # A code that is none, where that is taken, and details.
    details = {NASTY: NASTY}
    send({"type": "error", "id": request["id"], "code": "NO" + NASTY, "message": NASTY, "details": details})


def ask(service, method, params):
    send({"type": "service_request", "id": 1, "service": service, "method": method, "params": params})


def write(*outputs):
    for output in outputs:
        print(LINE, file=output, flush=True)


def handle(request):
    what = base64.b64decode(request["message"]["payload"]).decode("utf-8")
    success = {"type": "success", "id": request["id"], "data": {NASTY: NASTY}}
    if what == "fail":
        error(request)
    elif what == "write":
        write(sys.stdout, sys.stderr)
        send({"type": "log", "level": "warn", "message": NASTY, "fields": {NASTY: NASTY}})
        send(success)
    elif what == "set":
        ask("kv_store", "set", {"key": NASTY, "value": base64.b64encode(NASTY.encode("utf-8")).decode("ascii")})
        send(success)
    elif what == "ask":
        ask(NASTY, NASTY, {NASTY: NASTY})
        ask("message_bus", "send", {"topic": NASTY, "payload": ""})
        ask("event_bus", "publish", {"topic": NASTY, "payload": ""})
        send({"type": NASTY, "id": 7})
        connection.sendall(LINE.encode("utf-8") + b"\n")
        send(success)
    elif what == "exit":
        write(sys.stderr)
        sys.exit(3)
    else:
        send(success)


for line in lines:
    request = json.loads(line)
    kind = request["type"]
    if kind == "init" and request["config"]["refuse"]:
        write(sys.stdout, sys.stderr)
        error(request)
        sys.exit(1)
    elif kind == "init":
        send({"type": "success", "id": request["id"], "data": {}})
    elif kind == "health_check":
        send({"type": "success", "id": request["id"], "data": {"healthy": False, NASTY: NASTY}})
    elif kind == "shutdown":
        error(request)
        sys.exit(1)
    elif kind == "handle":
        handle(request)
