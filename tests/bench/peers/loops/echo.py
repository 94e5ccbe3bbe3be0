"""The plain loop that the README of IXT's Python SDK suggests: a line, a request, an answer."""

import base64
import json
import os
import socket

connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["IXT_IPC_SOCKET"])
lines = connection.makefile("rwb")
for line in lines:
    request = json.loads(line)
    data = {}
    if request["type"] == "handle":
        message = request["message"]
        payload = base64.b64decode(message["payload"])
        if message["topic"] == "record":
            data = json.loads(payload)
        else:
            data = {"result": base64.b64encode(payload).decode("ascii")}
    reply = {"type": "success", "id": request["id"], "data": data}
    lines.write(json.dumps(reply).encode("utf-8") + b"\n")
    lines.flush()
