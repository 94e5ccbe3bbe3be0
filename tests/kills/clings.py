"""A module that does what it can to outlive its host: it heeds no signal that it can ignore, does not read when its host is gone,
spins, and has children that have left its group and its session, and that have no parent any more."""

import json
import os
import signal
import socket
import time


def cling(*, session, orphan):
    """A process that heeds nothing."""
    if os.fork():
        if orphan:
            os.wait()
        return
    if session:
        os.setsid()
    if orphan and os.fork():
        os._exit(0)
    null = os.open("/dev/null", os.O_RDWR)
    for file in range(3):
        os.dup2(null, file)
    os.closerange(3, 256)
    while True:
        time.sleep(3600)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(os.environ["IXT_IPC_SOCKET"])
for session in (False, True):
    for orphan in (False, True):
        cling(session=session, orphan=orphan)
for line in connection.makefile("rb"):
    request = json.loads(line)
    data = {"healthy": True} if request["type"] == "health_check" else {}
    if request["type"] != "shutdown":
        connection.sendall(json.dumps({"type": "success", "id": request["id"], "data": data}).encode() + b"\n")
# The host is gone, or wants it to end.
while True:
    pass
