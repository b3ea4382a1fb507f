// The public SDK, one case a process: RELAY_SDK names the package, {case, app, key, options,
// ...} comes as JSON on stdin, {result} or {error} goes as JSON to stdout.  The SDK reads its
// EV_ variables when it is loaded.
'use strict';
const fs = require('fs');
const https = require('https');
const path = require('path');
const load = require('module').createRequire(process.env.RELAY_NODE_MODULES + path.sep);
const Evervault = load(process.env.RELAY_SDK);
const plan = JSON.parse(fs.readFileSync(0));

// Buffers travel as {base64: text}.
function thaw(value) {
  return value && value.base64 !== undefined ? Buffer.from(value.base64, 'base64') : value;
}

function freeze(value) {
  return Buffer.isBuffer(value) || value instanceof Uint8Array || value instanceof ArrayBuffer
    ? { base64: Buffer.from(value).toString('base64') } : value;
}

function answer(r, body) {
  return { status: r.statusCode || r.status, code: r.headers['x-evervault-error-code'] || null,
    body: body.toString() };
}

// What an app calls: https.request with options, with a URL or its text in front; or axios.
function byRequest(request, url) {
  const options = { method: 'POST', headers: { 'Content-Type': 'application/json' },
    agent: request.agent };
  const words = url ? [url, options]
    : [{ ...options, hostname: 'localhost', port: request.port, path: '/pay' }];
  return new Promise((resolve, reject) => {
    const r = https.request(...words, (incoming) => {
      const pieces = [];
      incoming.on('data', (piece) => pieces.push(piece));
      incoming.on('end', () => resolve(answer(incoming, Buffer.concat(pieces))));
    });
    r.on('error', reject);
    r.end(request.body);
  });
}

const urlOf = (request) => `https://localhost:${request.port}/pay`;
const byHttps = (request) => byRequest(request);
const byUrl = (request) => byRequest(request, new URL(urlOf(request)));
const byString = (request) => byRequest(request, urlOf(request));

async function byAxios(request) {
  const r = await load('axios').post(urlOf(request), request.body, {
    headers: { 'Content-Type': 'application/json' }, proxy: false, httpsAgent: request.agent,
    responseType: 'text', transformResponse: (text) => text, validateStatus: () => true });
  return answer(r, r.data);
}

const send = { https: byHttps, url: byUrl, string: byString, axios: byAxios };

const cases = {
  async encrypt(sdk) {
    const sealed = [];
    for (const value of plan.values) {
      const role = plan.role ? [plan.role] : [];
      sealed.push(freeze(await sdk.encrypt(thaw(value), ...role)));
    }
    return sealed;
  },
  async decrypt(sdk) {
    const opened = [];
    for (const value of plan.values) opened.push(freeze(await sdk.decrypt(thaw(value))));
    return opened;
  },
  async token(sdk) {
    const token = await sdk.createClientSideDecryptToken(plan.payload, plan.expiry);
    return { ...token, createdAt: token.createdAt.getTime(), expiry: token.expiry.getTime() };
  },
  async outbound(sdk) {
    await sdk.enableOutboundRelay(plan.domains ? { decryptionDomains: plan.domains } : undefined);
    const answers = [];
    for (const request of plan.requests) answers.push(await send[request.by](request));
    return answers;
  },
  async agent(sdk) {
    const answers = [];
    for (const request of plan.requests) {
      const agent = sdk.createRelayHttpsAgent();
      answers.push(await send[request.by]({ ...request, agent }));
    }
    return answers;
  },
  // Without a list of its own it asks for one; a request when told, and then the end.
  async polling(sdk) {
    await sdk.enableOutboundRelay();
    const before = await byHttps(plan.requests[0]).catch((e) => ({ error: String(e) }));
    console.error('polling');
    for (;;) {
      const now = await byHttps(plan.requests[0]).catch((e) => ({ error: String(e) }));
      if (now.status === 200 && !now.body.includes('ev:')) return [before, now];
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
};

async function main() {
  const key = plan.key === null ? undefined : plan.key;
  return cases[plan.case](new Evervault(plan.app, key, plan.options || {}));
}

main().then((result) => ({ result }), (e) => ({ error: { name: e.constructor.name,
  message: String(e.message), text: String(e) } })).then((line) => {
  fs.writeSync(1, JSON.stringify(line));
  process.exit(0);
});
