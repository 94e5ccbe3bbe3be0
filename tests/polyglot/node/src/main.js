// One of three modules that do the same in three languages.

'use strict';

const { IxtProcessModule } = require('./ixt-process-module');

class Pair extends IxtProcessModule {
  async onInit(config) {
    this.starting('learns Node.js', 1000);
    this.greeting = config.greeting;
  }

  async onHandle(message, context) {
    const payload = this.decodePayload(message.payload);
    switch (message.topic) {
      case 'node.echo':
        return this.success({
          result: this.encodePayload(payload),
          trace_id: context.trace_id ?? '',
          source_module: context.source_module ?? '',
          module_id: this.moduleId,
          priority: message.priority ?? 1,
        });
      case 'node.config':
        return this.success({ greeting: this.greeting });
      case 'node.relay':
        return this.withJson(payload, (request) => this.relay(request));
      case 'node.kv':
        return this.withJson(payload, (request) => this.kv(request));
      case 'node.log': {
        const text = payload.toString('utf8');
        this.log(text);
        await this.logStructured('info', text, { language: 'node' });
        return this.success();
      }
      default:
        return this.error('UNKNOWN_TOPIC', `Unknown topic: ${message.topic}`);
    }
  }

  async withJson(payload, handle) {
    let request;
    try {
      request = JSON.parse(payload.toString('utf8'));
    } catch (error) {
      return this.error('INVALID_INPUT', `the payload is wrong: ${error.message}`);
    }
    return handle(request ?? {});
  }

  async relay({ topic, payload, priority, ttl_ms: ttlMs }) {
    if (typeof topic !== 'string' || typeof payload !== 'string') {
      return this.error('INVALID_INPUT', 'the payload needs a `topic` and a `payload`');
    }
    return this.passedOn(await this.sendMessage(topic, Buffer.from(payload), priority, ttlMs));
  }

  async kv({ op, key, value = '' }) {
    if (op === 'set') return this.passedOn(await this.kvSet(key, Buffer.from(value)));
    if (op === 'get') return this.passedOn(await this.kvGet(key));
    if (op === 'delete') return this.passedOn(await this.kvDelete(key));
    if (op === 'exists') return this.passedOn(await this.kvExists(key));
    return this.error('INVALID_INPUT', `\`${op}\` is none of get, set, delete and exists`);
  }

  passedOn(response) {
    if (response.success) return this.success(response.data);
    return this.error(response.code, response.message, response.details);
  }
}

if (require.main === module) {
  new Pair().run();
}
