'use strict';
// bench/peer_node_proxy.js - what `bench/run egress` holds beside Relay: a CONNECT
// proxy over TLS that opens tokens, as a team would write it on Node's own modules.
// Kept origin connections, one certificate made ahead, a process for each worker, one
// key agreement for all tokens of a body that share a key.  No allowlist, policies,
// streaming, limits or log: less than Relay does.
//
//   node peer_node_proxy.js CONF.json
//   {port, workers, key, certificate, certificateKey, ca, appPublic, appPrivate}
//   appPublic: compressed point, base64; appPrivate: the scalar, base64
const cluster = require('node:cluster');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const TOKEN = new RegExp(
  'ev:(debug:)?(?:(RFVC|T1JL|Tk9D|TENZ|QlJV|QkTC|S0lS):)?(?:(string|number|boolean):)?' +
  '([A-Za-z0-9+/=]{16}):([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]*):\\$', 'g');
const TYPES = { string: 0, number: 1, boolean: 2 };
// SubjectPublicKeyInfo of P-256 with explicit parameters, up to the point.
const SPKI = Buffer.from(
  '3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff' +
  '00000001000000000000000000000000ffffffffffffffffffffffff305b0420ffffffff0000000100' +
  '0000000000000000000000fffffffffffffffffffffffc04205ac635d8aa3a93e7b3ebbd55769886bc' +
  '651d06b0cc53b0f63bce3c3e27d2604b031500c49d360886e704936a6678e1139d26b7819f7e900441' +
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b' +
  '8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff00000000ffffffffffff' +
  'ffffbce6faada7179e84f3b9cac2fc632551020101034200', 'hex');

const conf = JSON.parse(fs.readFileSync(process.argv[2]));
const app = crypto.createECDH('prime256v1');
app.setPrivateKey(Buffer.from(conf.appPrivate, 'base64'));
const appPublic = Buffer.from(conf.appPublic, 'base64');

function deriveKey(ephemeral) {
  const point = crypto.ECDH.convertKey(ephemeral, 'prime256v1', undefined, undefined,
    'uncompressed');
  return crypto.createHash('sha256').update(app.computeSecret(point))
    .update(Buffer.from([0, 0, 0, 1])).update(SPKI).update(point).digest();
}

// A token of version QkTC: what this app's clients send.
function open(keys, type, iv, ephemeral, data) {
  const point = Buffer.from(ephemeral, 'base64');
  let key = keys.get(ephemeral);
  if (key === undefined) {
    key = deriveKey(point);
    keys.set(ephemeral, key);
  }
  const sealed = Buffer.from(data, 'base64');
  const gcm = crypto.createDecipheriv('aes-256-gcm', key, Buffer.from(iv, 'base64'));
  gcm.setAAD(Buffer.concat([Buffer.from([TYPES[type ?? 'string'] << 4 | 1]), point,
    appPublic]));
  gcm.setAuthTag(sealed.subarray(sealed.length - 16));
  const text = Buffer.concat([gcm.update(sealed.subarray(0, sealed.length - 16)),
    gcm.final()]);
  return text.toString('utf8', 2 + text.readUInt16LE(0));
}

function openAll(body) {
  const text = body.toString('latin1');
  if (!text.includes('ev:')) return body;
  const keys = new Map();
  return Buffer.from(body.toString('utf8').replace(TOKEN,
    (token, debug, version, type, iv, ephemeral, data) => {
      if (debug || version !== 'QkTC') return token;
      try {
        const value = open(keys, type, iv, ephemeral, data);
        return type === 'number' || type === 'boolean' ? value :
          JSON.stringify(value).slice(1, -1);
      } catch {
        return token;
      }
    }));
}

const agent = new https.Agent({ keepAlive: true, ca: fs.readFileSync(conf.ca) });
const tls = { cert: fs.readFileSync(conf.certificate), key: fs.readFileSync(conf.certificateKey),
  minVersion: 'TLSv1.3' };

function forward(req, res) {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => {
    const body = openAll(Buffer.concat(parts));
    const [host, port] = req.socket.destination;
    const headers = { ...req.headers };
    delete headers['proxy-authorization'];
    if (parts.length) headers['content-length'] = body.length;
    const out = https.request({ agent, host, port, method: req.method, path: req.url, headers },
      (reply) => {
        res.writeHead(reply.statusCode, reply.headers);
        reply.pipe(res);
      });
    out.on('error', () => res.writeHead(502).end());
    out.end(body);
  });
}

function isAllowed(req) {
  const given = Buffer.from(req.headers['proxy-authorization'] ?? '');
  const wanted = Buffer.from(conf.key);
  return given.length === wanted.length && crypto.timingSafeEqual(given, wanted);
}

function serve() {
  const inside = https.createServer({ ...tls, keepAliveTimeout: 300000 }, forward);
  inside.on('secureConnection', (socket) => {
    socket.destination = socket._parent.destination;
  });
  const outside = https.createServer(tls, (req, res) => res.writeHead(400).end());
  outside.on('connect', (req, socket, head) => {
    if (!isAllowed(req)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    socket.destination = req.url.split(':');
    socket.on('error', () => socket.destroy());
    if (head.length) socket.unshift(head);
    socket.write('HTTP/1.1 200 OK\r\n\r\n', () => inside.emit('connection', socket));
  });
  outside.on('tlsClientError', () => {});
  inside.on('tlsClientError', () => {});
  outside.listen(conf.port, '127.0.0.1', 4096);
}

if (cluster.isPrimary) {
  for (let i = 0; i < conf.workers; i++) cluster.fork();
  process.on('SIGTERM', () => process.exit(0));
} else {
  process.on('disconnect', () => process.exit(0));
  serve();
}
