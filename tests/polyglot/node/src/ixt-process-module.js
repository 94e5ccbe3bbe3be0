// The base class of a module, in the shape of IXT's Node.js SDK, from its documents and the wire's page alone.
//
// It handles one request at a time and sends no ids in its replies. Nothing but Node.js itself is used.

'use strict';

const net = require('net');

const REQUESTS = ['init', 'handle', 'event', 'health_check', 'shutdown'];

class IxtProcessModule {
  // The configuration; an exception refuses it.
  async onInit(_config) {}

  async onHandle(_message, _context) {
    throw new Error('onHandle is not implemented');
  }

  // The last chance to clean up.
  async onShutdown() {}

  async onHealthCheck() {
    return { healthy: true };
  }

  // What a handler returns.

  success(data = {}) {
    return { type: 'success', data };
  }

  error(code, message, details) {
    return { type: 'error', code, message, details };
  }

  encodePayload(data) {
    return Buffer.from(data).toString('base64');
  }

  decodePayload(payload) {
    return Buffer.from(payload, 'base64');
  }

  log(message) {
    process.stderr.write(`INFO ${message}\n`);
  }

  logError(message) {
    process.stderr.write(`ERROR ${message}\n`);
  }

  // What the host may be told, if it takes word of that.

  // In `onInit`: what takes its time, and how much longer the host is to wait.
  starting(message, extendMs = 0) {
    this.#tell({ type: 'starting', message, extend_ms: extendMs });
  }

  // Whether new requests are taken.
  setReady(ready) {
    this.#tell({ type: 'ready', ready });
  }

  // The host's services. Each gives the host's response: an object with `success`, and `data`, or `code` and `message`.

  async sendMessage(topic, payload, priority = undefined, ttlMs = undefined) {
    const params = { topic, payload: this.encodePayload(payload), priority, ttl_ms: ttlMs };
    return this.#call('message_bus', 'send', params);
  }

  async kvGet(key) {
    return this.#call('kv_store', 'get', { key });
  }

  async kvSet(key, value) {
    return this.#call('kv_store', 'set', { key, value: this.encodePayload(value) });
  }

  async kvDelete(key) {
    return this.#call('kv_store', 'delete', { key });
  }

  async kvExists(key) {
    return this.#call('kv_store', 'exists', { key });
  }

  async logStructured(level, message, fields = {}) {
    return this.#call('logging', 'log', { level, message, fields });
  }

  // The connection.

  #maxFrameBytes = 16 * 1024 * 1024;
  // The pieces of the line that has begun, and how long they are. Of one that is too long only the length is kept.
  #pieces = [];
  #pieceBytes = 0;
  // Requests whose turn has not come, and whoever waits for the next one.
  #waiting = [];
  #wake = null;
  #gone = false;
  #features = [];
  #initialized = false;
  #current = null;
  #lastCall = 0;
  #pendingCall = null;

  run() {
    this.moduleId = process.env.IXT_MODULE_ID || '';
    // Half open, so that what was taken is still answered when the host sends no more.
    this.socket = net.createConnection({ path: process.env.IXT_IPC_SOCKET, allowHalfOpen: true });
    this.socket.on('data', (chunk) => this.#read(chunk));
    this.socket.on('end', () => this.#hangUp());
    this.socket.on('close', () => this.#hangUp());
    this.socket.on('error', (error) => {
      this.logError(error.message);
      this.#hangUp();
    });
    process.on('SIGTERM', () => this.#hangUp());
    this.#serve().then(
      (status) => this.socket.end(() => process.exit(status)),
      (error) => {
        this.logError(error.stack);
        process.exit(1);
      },
    );
  }

  async #serve() {
    for (;;) {
      const request = await this.#next();
      if (request === null || request.type === 'shutdown') {
        await this.onShutdown();
        if (request !== null) this.#send(this.success());
        return 0;
      }
      const reply = await this.#answer(request);
      this.#send(reply);
      if (request.type === 'init' && !this.#initialized && reply.type === 'error') return 1;
    }
  }

  async #next() {
    while (this.#waiting.length === 0) {
      if (this.#gone) return null;
      await new Promise((resolve) => { this.#wake = resolve; });
    }
    return this.#waiting.shift();
  }

  async #answer(request) {
    const kind = request.type;
    try {
      if (kind === 'init') return await this.#init(request);
      if (!this.#initialized) return this.error('FAILED_PRECONDITION', `\`${kind}\` came before \`init\``);
      if (kind === 'health_check') return this.success(await this.onHealthCheck());
      if (kind !== 'handle' && kind !== 'event') {
        return this.error('UNIMPLEMENTED', `requests of the type \`${kind}\` are not known here`);
      }
      const wrong = this.#wrong(request.message);
      if (wrong) return this.error('INVALID_INPUT', wrong);
      this.#current = request;
      return await this.onHandle(request.message, request.context || {});
    } catch (error) {
      // Whatever it is, there is exactly one reply.
      this.logError(`${kind}: ${error.stack}`);
      return this.error('INTERNAL', error.message);
    } finally {
      this.#current = null;
    }
  }

  async #init(request) {
    const protocol = request.protocol || {};
    if (this.#initialized) return this.error('FAILED_PRECONDITION', '`init` came a second time');
    if ((protocol.version ?? 1) !== 1) {
      return this.error('FAILED_PRECONDITION', 'this module speaks version 1 of the protocol');
    }
    this.#features = protocol.features ?? [];
    this.#maxFrameBytes = protocol.max_frame_bytes ?? this.#maxFrameBytes;
    await this.onInit(request.config || {});
    this.#initialized = true;
    return this.success();
  }

  #wrong(message) {
    if (typeof message !== 'object' || message === null) return '`message`: missing';
    for (const key of ['topic', 'payload']) {
      if (typeof message[key] !== 'string') return `\`message.${key}\`: expected a string`;
    }
    // `Buffer.from` takes anything for base64.
    const { payload } = message;
    if (payload.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(payload)) return '`message.payload`: not base64';
    return null;
  }

  #tell(frame) {
    if (this.#features.includes(frame.type)) this.#send(frame);
  }

  #call(service, method, params) {
    this.#lastCall += 1;
    const request = { type: 'service_request', id: this.#lastCall, service, method, params };
    if (this.#current !== null) {
      // A larger number is not what it was on the wire any more.
      const parent = Number.isSafeInteger(this.#current.id) ? this.#current.id : undefined;
      request.context = { trace_id: this.#current.context?.trace_id ?? '', parent };
    }
    return new Promise((resolve, reject) => {
      this.#pendingCall = { id: this.#lastCall, resolve, reject };
      this.#send(request);
      if (this.#gone) this.#hangUp();
    });
  }

  #read(chunk) {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(10, start);
      const piece = chunk.subarray(start, end < 0 ? undefined : end);
      this.#pieceBytes += piece.length;
      if (this.#pieceBytes <= this.#maxFrameBytes) this.#pieces.push(piece);
      else this.#pieces = [];
      if (end < 0) return;
      const bytes = this.#pieceBytes;
      const line = Buffer.concat(this.#pieces);
      this.#pieces = [];
      this.#pieceBytes = 0;
      start = end + 1;
      if (bytes > this.#maxFrameBytes) {
        this.logError(`skipped a frame of ${bytes} bytes: the limit is ${this.#maxFrameBytes} bytes`);
      } else {
        this.#take(line);
      }
    }
  }

  #take(line) {
    let frame;
    try {
      frame = JSON.parse(line.toString('utf8'));
    } catch (error) {
      this.logError(`skipped what is no frame: ${error.message}`);
      return;
    }
    if (typeof frame !== 'object' || frame === null || typeof frame.type !== 'string') {
      this.logError('skipped what is no frame: it is no object with a `type`');
    } else if (frame.type === 'service_response') {
      if (this.#pendingCall !== null && this.#pendingCall.id === frame.id) {
        const { resolve } = this.#pendingCall;
        this.#pendingCall = null;
        resolve(frame);
      }
    } else if (REQUESTS.includes(frame.type) || (frame.type !== 'cancel' && frame.id !== undefined)) {
      this.#waiting.push(frame);
      this.#wake?.();
    }
  }

  #hangUp() {
    this.#gone = true;
    this.#wake?.();
    this.#pendingCall?.reject(new Error('the host is gone'));
    this.#pendingCall = null;
  }

  #send(frame) {
    const line = JSON.stringify(frame);
    const bytes = Buffer.byteLength(line);
    if (bytes > this.#maxFrameBytes) {
      this.#send(this.error('INTERNAL', `a reply of ${bytes} bytes is over the limit of ${this.#maxFrameBytes} bytes`));
    } else {
      this.socket.write(`${line}\n`);
    }
  }
}

module.exports = { IxtProcessModule };
