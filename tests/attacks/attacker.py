"""A module that does what takes memory of its host: each attack is a request to `attacker.do` with its name. What it sends it sends
without reading what comes back, unless it says so. Its other services never answer."""

import base64
import json
import os
import socket
import threading
import time

MIB = 1 << 20
connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(os.environ["IXT_IPC_SOCKET"])
lines = connection.makefile("rb")
sending = threading.Lock()
last_id = 0
reads = threading.Event()
reads.set()


def send(frame):
    with sending:
        connection.sendall(frame if isinstance(frame, bytes) else json.dumps(frame).encode() + b"\n")


def ask(service, method, params, **context):
    global last_id
    last_id += 1
    request = {"type": "service_request", "id": last_id, "service": service, "method": method, "params": params}
    send(request | ({"context": context} if context else {}))


def call(topic, size, **context):
    ask("message_bus", "send", {"topic": topic, "payload": base64.b64encode(b"x" * size).decode()}, **context)


def copies():
    for _ in range(150):
        call("attacker.again", 10 * MIB)


def calls():
    for _ in range(150):
        call("attacker.never", 10 * MIB)


def small_calls():
    for _ in range(200_000):
        call("attacker.never", 100)


def events():
    for _ in range(150):
        ask("event_bus", "publish", {"topic": "attacker.kept", "payload": base64.b64encode(b"x" * 10 * MIB).decode()})


def traces():
    for _ in range(150):
        call("attacker.never", 10, trace_id="t" * 10 * MIB)


def prefixes():
    for _ in range(150):
        ask("kv_store", "watch", {"prefix": "p" * 10 * MIB})


def watches():
    for _ in range(900):
        ask("kv_store", "watch", {"prefix": ""})
    reads.clear()
    value = base64.b64encode(b"x" * MIB).decode()
    for number in range(200):
        ask("kv_store", "set", {"key": f"k{number}", "value": value})


def watches_apart():
    for number in range(900):
        ask("kv_store", "watch", {"prefix": f"k{number}/"})
    reads.clear()
    value = base64.b64encode(b"x" * 2 * MIB).decode()
    for number in range(300):
        for _ in range(2):
            ask("kv_store", "set", {"key": f"k{number}/a", "value": value})
            ask("kv_store", "delete", {"key": f"k{number}/a"})
        ask("kv_store", "set", {"key": f"k{number}/a", "value": value})
        ask("kv_store", "delete", {"key": f"k{number}/b"})


def values():
    value = base64.b64encode(b"x" * 8 * MIB).decode()
    reads.clear()
    for number in range(60):
        ask("kv_store", "set", {"key": f"k{number % 3}", "value": value})
    for _ in range(100):
        ask("kv_store", "get", {"key": "k1"})


def half_a_line():
    send(b'{"type":"success","id":1,"data":"' + b"x" * 15 * MIB)
    time.sleep(3600)


def endless_line():
    while True:
        send(b"x" * MIB)


def errors():
    for number in range(100):
        send({"type": "error", "id": number + 1000, "code": "C", "message": "m" * 10 * MIB, "details": {"d": "x" * MIB}})


def types():
    for number in range(100):
        send({"type": "t" * 10 * MIB, "id": number + 1000})


def log_frames():
    for _ in range(100):
        send({"type": "log", "level": "info", "message": "m" * 5 * MIB, "fields": {"f": "x" * 5 * MIB}, "trace_id": "t" * MIB})


def log_lines():
    for _ in range(20):
        os.write(2, b"x" * 10 * MIB)


def nested():
    for number in range(100):
        send(b'{"type":"success","id":%d,"data":{"a":%s}}\n' % (number + 1000, b"[" * 5 * MIB + b"]" * 5 * MIB))


def nothing():
    pass


ATTACKS = {function.__name__: function for function in (
    copies, calls, small_calls, events, traces, prefixes, watches, watches_apart, values, half_a_line, endless_line, errors, types, log_frames,
    log_lines, nested, nothing)}

health = {"healthy": True}
while True:
    reads.wait()
    line = lines.readline()
    if not line:
        break
    request = json.loads(line)
    kind, success = request["type"], {"type": "success", "id": request.get("id"), "data": {}}
    if kind == "init":
        if os.environ.get("IXT_TEST_HEALTH"):
            health["report"] = "x" * 15 * MIB
        send(success)
    elif kind == "health_check":
        send(success | {"data": health})
    elif kind == "shutdown":
        send(success)
        break
    elif kind == "handle" and request["message"]["topic"] == "attacker.large":
        send(success | {"data": {"large": "x" * 15 * MIB}})
    elif kind in ("handle", "event") and request["message"]["topic"] == "attacker.do":
        send(success)
        attack = ATTACKS[base64.b64decode(request["message"]["payload"]).decode()]
        threading.Thread(target=attack, daemon=True).start()
