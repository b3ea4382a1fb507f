// Node: https with https-proxy-agent, axios with it, undici's request and fetch.
// See clients.py for the variables; RELAY_WAY chooses.
'use strict';
const fs = require('fs');
const path = require('path');
const env = process.env;
const ca = fs.readFileSync(env.RELAY_CA);
const proxyCa = fs.readFileSync(env.RELAY_PROXY_CA);
const keep = env.RELAY_KEEP === 'yes';
const basic = env.RELAY_KEY &&
  'Basic ' + Buffer.from(`${env.RELAY_USER}:${env.RELAY_KEY}`).toString('base64');
const load = require('module').createRequire(env.RELAY_NODE_MODULES + path.sep);

function fields(body) {
  const all = {};
  if (body) all['Content-Type'] = 'application/json';
  if (env.RELAY_INNER_KEY) all['Proxy-Authorization'] = env.RELAY_INNER_KEY;
  return all;
}

function proxyAgent() {
  const { HttpsProxyAgent } = load('https-proxy-agent');
  const options = { ca: proxyCa, keepAlive: keep };
  if (basic) options.headers = { 'Proxy-Authorization': basic };
  return new HttpsProxyAgent(env.RELAY_PROXY, options);
}

const ways = {
  'https-proxy-agent': () => {
    const https = require('https');
    const agent = proxyAgent();
    return (method, url, body) => new Promise((resolve, reject) => {
      const request = https.request(url, { method, agent, ca, headers: fields(body) }, (r) => {
        const pieces = [];
        r.on('data', (piece) => pieces.push(piece));
        r.on('end', () => resolve([r.statusCode, r.headers, Buffer.concat(pieces)]));
      });
      request.on('error', reject);
      request.end(body);
    });
  },
  axios: () => {
    const { HttpsProxyAgent } = load('https-proxy-agent');
    const agent = proxyAgent();
    agent.options.ca = ca;	// of the destination; axios has no place of its own for it
    const client = load('axios').create({ httpsAgent: agent, proxy: false,
      responseType: 'arraybuffer', validateStatus: () => true });
    return async (method, url, body) => {
      const r = await client.request({ method, url, data: body, headers: fields(body) });
      return [r.status, r.headers, Buffer.from(r.data)];
    };
  },
  undici: () => {
    const { ProxyAgent, request } = load('undici');
    const dispatcher = new ProxyAgent({ uri: env.RELAY_PROXY, token: basic || undefined,
      requestTls: { ca }, proxyTls: { ca: proxyCa }, connections: 1 });
    return async (method, url, body) => {
      const r = await request(url, { method, body, dispatcher, headers: fields(body),
        reset: !keep });
      return [r.statusCode, r.headers, Buffer.from(await r.body.arrayBuffer())];
    };
  },
  fetch: () => {
    const { ProxyAgent, fetch } = load('undici');
    const dispatcher = new ProxyAgent({ uri: env.RELAY_PROXY, token: basic || undefined,
      requestTls: { ca }, proxyTls: { ca: proxyCa }, connections: 1 });
    return async (method, url, body) => {
      const r = await fetch(url, { method, body, dispatcher, headers: fields(body) });
      return [r.status, Object.fromEntries(r.headers), Buffer.from(await r.arrayBuffer())];
    };
  },
};

async function main() {
  const send = ways[env.RELAY_WAY]();
  const plan = process.argv.slice(2);
  for (let i = 0; i < plan.length; i += 3) {
    const body = plan[i + 2] === '-' ? undefined : fs.readFileSync(plan[i + 2]);
    const [status, headers, bytes] = await send(plan[i], plan[i + 1], body);
    fs.writeFileSync(path.join(env.RELAY_OUT, String(i / 3)), bytes);
    console.log(status, headers['x-evervault-error-code'] || '-');
  }
}

main().then(() => process.exit(0), (e) => {
  console.error(e, e.cause || '');
  process.exit(1);
});
