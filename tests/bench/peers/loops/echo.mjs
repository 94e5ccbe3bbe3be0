// The plain loop that the README of IXT's Node.js SDK suggests: a line, a request, an answer.

import net from "node:net";

const connection = net.createConnection(process.env.IXT_IPC_SOCKET);
connection.setEncoding("utf8");
let buffered = "";
connection.on("data", (chunk) => {
  buffered += chunk;
  // A long line comes in pieces: only what is new may end it.
  if (!chunk.includes("\n")) return;
  const lines = buffered.split("\n");
  buffered = lines.pop();
  for (const line of lines) answer(JSON.parse(line));
});

function answer(request) {
  let data = {};
  if (request.type === "handle") {
    const payload = Buffer.from(request.message.payload, "base64");
    data =
      request.message.topic === "record"
        ? JSON.parse(payload.toString("utf8"))
        : { result: payload.toString("base64") };
  }
  connection.write(JSON.stringify({ type: "success", id: request.id, data }) + "\n");
}
