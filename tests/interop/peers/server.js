// Node's http2, and its HTTP/1.1: node server.js CERTIFICATE, then a line with the ports of cleartext HTTP/2, of TLS with
// both, and of cleartext HTTP/1.1.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const http2 = require("http2");

const block = Buffer.alloc(65536, Buffer.from([...Array(256).keys()]));

function answer(request, response) {
  const path = request.url;
  if (path === "/up") {
    const digest = crypto.createHash("sha256");
    let size = 0;
    request.on("data", (piece) => { digest.update(piece); size += piece.length; });
    request.on("end", () => response.end(`${size} ${digest.digest("hex")}`));
  } else if (path.startsWith("/down/")) {
    let left = Number(path.slice(6));
    response.setHeader("content-length", left * block.length);
    const write = () => {
      while (left-- > 0) if (!response.write(block)) return response.once("drain", write);
      response.end();
    };
    write();
  } else if (path === "/trailers") {
    response.setHeader("trailer", "x-checksum");
    response.write("content");
    response.addTrailers({ "x-checksum": "7" });
    response.end();
  } else {
    if (path === "/hints") response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    response.setHeader("content-length", 5);
    response.end("hello");
  }
}

// A WebSocket over a stream (RFC 8441): text and binary frames come back unmasked, a close frame ends it.
function echo(stream, headers) {
  if (headers[":method"] !== "CONNECT" || headers[":protocol"] !== "websocket") return;
  stream.respond({ ":status": 200 });
  let input = Buffer.alloc(0);
  stream.on("data", (piece) => {
    input = Buffer.concat([input, piece]);
    while (input.length >= 6) {
      const size = input[1] & 0x7f;
      const head = size === 126 ? 4 : size === 127 ? 10 : 2;
      if (input.length < head + 4) return;
      const length = head === 2 ? size : head === 4 ? input.readUInt16BE(2) : Number(input.readBigUInt64BE(2));
      if (input.length < head + 4 + length) return;
      const mask = input.subarray(head, head + 4);
      const content = Buffer.from(input.subarray(head + 4, head + 4 + length)).map((octet, at) => octet ^ mask[at & 3]);
      const front = Buffer.from(input.subarray(0, head));
      front[1] &= 0x7f;
      stream.write(Buffer.concat([front, content]));
      if ((input[0] & 0x0f) === 8) stream.end();
      input = input.subarray(head + 4 + length);
    }
  });
}

const settings = { enableConnectProtocol: true, maxConcurrentStreams: 1000 };
const pem = fs.readFileSync(process.argv[2]);
const cleartext = http2.createServer({ settings });
const secure = http2.createSecureServer({ settings, cert: pem, key: pem, allowHTTP1: true });
for (const server of [cleartext, secure]) server.on("stream", echo);
const isRequest = (request) => request.method !== "CONNECT";
for (const server of [cleartext, secure]) {
  server.on("request", (request, response) => { if (isRequest(request)) answer(request, response); });
  server.on("connect", () => {}); // else CONNECT is answered with 405 before `echo` can
}
const servers = [cleartext, secure, http.createServer(answer)];
Promise.all(servers.map((server) => new Promise((done) => server.listen(0, "127.0.0.1", done))))
  .then(() => console.log(servers.map((server) => server.address().port).join(" ")));
