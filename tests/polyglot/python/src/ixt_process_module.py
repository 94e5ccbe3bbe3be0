"""The base class of a module, in the shape of IXT's Python SDK, from its documents and the wire's page alone.

It handles one request at a time and sends no ids in its replies. Nothing but the standard library is used.
"""

import base64
import collections
import json
import os
import signal
import socket
import sys

REQUESTS = ("init", "handle", "event", "health_check", "shutdown")


class Gone(Exception):
    """The host has closed the connection."""


class IxtProcessModule:
    """Subclass it, and call `run()`."""

    def on_init(self, config):
        """The configuration; an exception refuses it."""

    def on_handle(self, message, context):
        raise NotImplementedError

    def on_shutdown(self):
        """The last chance to clean up."""

    def on_health_check(self):
        return {"healthy": True}

    # What a handler returns.

    def success(self, data=None):
        return {"type": "success", "data": data or {}}

    def error(self, code, message, details=None):
        reply = {"type": "error", "code": code, "message": message}
        if details is not None:
            reply["details"] = details
        return reply

    def encode_payload(self, data):
        return base64.b64encode(data).decode("ascii")

    def decode_payload(self, payload):
        return base64.b64decode(payload, validate=True)

    def log(self, message):
        print(f"INFO {message}", file=sys.stderr, flush=True)

    def log_error(self, message):
        print(f"ERROR {message}", file=sys.stderr, flush=True)

    # What the host may be told, if it takes word of that.

    def starting(self, message, extend_ms=0):
        """In `on_init`: what takes its time, and how much longer the host is to wait."""
        self._tell({"type": "starting", "message": message, "extend_ms": extend_ms})

    def set_ready(self, ready):
        """Whether new requests are taken."""
        self._tell({"type": "ready", "ready": ready})

    # The host's services. Each returns the host's response: a dict with `success`, and `data`, or `code` and `message`.

    def send_message(self, topic, payload, priority=None, ttl_ms=None):
        params = {"topic": topic, "payload": self.encode_payload(payload)}
        if priority is not None:
            params["priority"] = priority
        if ttl_ms is not None:
            params["ttl_ms"] = ttl_ms
        return self._call("message_bus", "send", params)

    def kv_get(self, key):
        return self._call("kv_store", "get", {"key": key})

    def kv_set(self, key, value):
        return self._call("kv_store", "set", {"key": key, "value": self.encode_payload(value)})

    def kv_delete(self, key):
        return self._call("kv_store", "delete", {"key": key})

    def kv_exists(self, key):
        return self._call("kv_store", "exists", {"key": key})

    def log_structured(self, level, message, fields=None):
        return self._call("logging", "log", {"level": level, "message": message, "fields": fields or {}})

    # The connection.

    def run(self):
        self.module_id = os.environ.get("IXT_MODULE_ID", "")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(os.environ["IXT_IPC_SOCKET"])
        self._lines = self._socket.makefile("rb")
        self._max_frame_bytes = 16 * 1024 * 1024
        self._waiting = collections.deque()
        self._initialized = False
        self._current = None
        self._last_call = 0
        # As if the host had hung up: what was begun is finished first.
        signal.signal(signal.SIGTERM, lambda *_: self._socket.shutdown(socket.SHUT_RD))
        try:
            while True:
                request = self._waiting.popleft() if self._waiting else self._receive()
                kind = request["type"]
                if kind == "shutdown":
                    self.on_shutdown()
                    self._send(self.success())
                    break
                if kind in REQUESTS or (kind not in ("cancel", "service_response") and "id" in request):
                    reply = self._answer(kind, request)
                    self._send(reply)
                    if kind == "init" and not self._initialized and reply["type"] == "error":
                        sys.exit(1)
        except (Gone, BrokenPipeError, ConnectionResetError):
            self.on_shutdown()
        self._socket.close()

    def _answer(self, kind, request):
        try:
            if kind == "init":
                return self._init(request)
            if not self._initialized:
                return self.error("FAILED_PRECONDITION", f"`{kind}` came before `init`")
            if kind == "health_check":
                return self.success(self.on_health_check())
            if kind not in ("handle", "event"):
                return self.error("UNIMPLEMENTED", f"requests of the type `{kind}` are not known here")
            wrong = self._wrong(request.get("message"))
            if wrong:
                return self.error("INVALID_INPUT", wrong)
            self._current = request
            return self.on_handle(request["message"], request.get("context") or {})
        except Gone:
            raise
        except Exception as error:  # Whatever it is, there is exactly one reply.
            self.log_error(f"{kind}: {type(error).__name__}: {error}")
            return self.error("INTERNAL", str(error) or type(error).__name__)
        finally:
            self._current = None

    def _init(self, request):
        protocol = request.get("protocol") or {}
        if self._initialized:
            return self.error("FAILED_PRECONDITION", "`init` came a second time")
        if protocol.get("version", 1) != 1:
            return self.error("FAILED_PRECONDITION", "this module speaks version 1 of the protocol")
        self._features = protocol.get("features", [])
        self._max_frame_bytes = protocol.get("max_frame_bytes", self._max_frame_bytes)
        self.on_init(request.get("config") or {})
        self._initialized = True
        return self.success()

    def _wrong(self, message):
        if not isinstance(message, dict):
            return "`message`: missing"
        for key in ("topic", "payload"):
            if not isinstance(message.get(key), str):
                return f"`message.{key}`: expected a string"
        try:
            self.decode_payload(message["payload"])
        except ValueError as error:
            return f"`message.payload`: not base64: {error}"
        return None

    def _tell(self, frame):
        if frame["type"] in self._features:
            self._send(frame)

    def _call(self, service, method, params):
        self._last_call += 1
        request = {"type": "service_request", "id": self._last_call, "service": service, "method": method}
        request["params"] = params
        if self._current is not None:
            request["context"] = {"trace_id": (self._current.get("context") or {}).get("trace_id", "")}
            if "id" in self._current:
                request["context"]["parent"] = self._current["id"]
        self._send(request)
        while True:
            frame = self._receive()
            if frame["type"] == "service_response" and frame.get("id") == self._last_call:
                return frame
            if frame["type"] in REQUESTS:
                # Its turn comes when this request is answered.
                self._waiting.append(frame)

    def _receive(self):
        """The next frame. What is none is logged and skipped."""
        while True:
            line = self._lines.readline()
            if not line.endswith(b"\n"):
                raise Gone
            if len(line) - 1 > self._max_frame_bytes:
                self.log_error(f"skipped a frame of {len(line) - 1} bytes: the limit is {self._max_frame_bytes} bytes")
                continue
            try:
                frame = json.loads(line)
            except ValueError as error:
                self.log_error(f"skipped what is no frame: {error}")
                continue
            if isinstance(frame, dict) and isinstance(frame.get("type"), str):
                return frame
            self.log_error("skipped what is no frame: it is no object with a `type`")

    def _send(self, frame):
        line = json.dumps(frame, separators=(",", ":")).encode("utf-8")
        if len(line) > self._max_frame_bytes:
            message = f"a reply of {len(line)} bytes is over the limit of {self._max_frame_bytes} bytes"
            return self._send(self.error("INTERNAL", message))
        self._socket.sendall(line + b"\n")
