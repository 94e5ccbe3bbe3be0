"""One of three modules that do the same in three languages."""

import json

from ixt_process_module import IxtProcessModule


class Pair(IxtProcessModule):
    def on_init(self, config):
        self.starting("learns Python", 1000)
        self.greeting = config.get("greeting", "")

    def on_handle(self, message, context):
        payload = self.decode_payload(message["payload"])
        topic = message["topic"]
        if topic == "python.echo":
            return self.success({
                "result": self.encode_payload(payload),
                "trace_id": context.get("trace_id", ""),
                "source_module": context.get("source_module", ""),
                "module_id": self.module_id,
                "priority": message.get("priority", 1),
            })
        if topic == "python.config":
            return self.success({"greeting": self.greeting})
        if topic == "python.relay":
            return self.with_json(payload, self.relay)
        if topic == "python.kv":
            return self.with_json(payload, self.kv)
        if topic == "python.log":
            text = payload.decode("utf-8", "replace")
            self.log(text)
            self.log_structured("info", text, {"language": "python"})
            return self.success()
        return self.error("UNKNOWN_TOPIC", f"Unknown topic: {topic}")

    def with_json(self, payload, handle):
        try:
            request = json.loads(payload)
            return handle(**request)
        except (ValueError, TypeError) as error:
            return self.error("INVALID_INPUT", f"the payload is wrong: {error}")

    def relay(self, topic, payload, priority=None, ttl_ms=None):
        return self.passed_on(self.send_message(topic, payload.encode("utf-8"), priority, ttl_ms))

    def kv(self, op, key, value=""):
        if op == "set":
            return self.passed_on(self.kv_set(key, value.encode("utf-8")))
        operations = {"get": self.kv_get, "delete": self.kv_delete, "exists": self.kv_exists}
        if op not in operations:
            return self.error("INVALID_INPUT", f"`{op}` is none of get, set, delete and exists")
        return self.passed_on(operations[op](key))

    def passed_on(self, response):
        if response["success"]:
            return self.success(response["data"])
        return self.error(response["code"], response["message"], response.get("details"))


if __name__ == "__main__":
    Pair().run()
