// The application of app.py on Node: its http2 in cleartext. Says its port on a line.
"use strict";
const http2 = require("http2");

const big = "a".repeat(100000);

function answer(request, response) {
  const path = request.url.split("?")[0];
  request.on("error", () => {});
  response.on("error", () => {});
  if (path === "/hold") return;
  if (path === "/early") return response.end(described(request, 0), "latin1");
  let size = 0;
  request.on("data", (piece) => { size += piece.length; });
  request.on("end", () => {
    if (request.aborted || request.stream.destroyed) return;
    if (path === "/hints") response.writeEarlyHints({ link: "</style.css>; rel=preload" });
    if (path === "/204" || path === "/304") {
      response.statusCode = Number(path.slice(1));
      return response.end();
    }
    if (path === "/trailers") {
      response.write("content");
      response.addTrailers({ "x-checksum": "7" });
      return response.end();
    }
    response.end(request.method === "HEAD" ? "" : path === "/big" ? big : described(request, size), "latin1");
  });
}

function described(request, size) {
  const { headers } = request;
  const authority = headers[":authority"] || headers.host || "";
  const trailers = request.trailers["x-t"] || "";
  return [request.method, request.url, authority, (headers.x || "").replaceAll(", ", "|"), headers.cookie || "", size, trailers].join(",");
}

const server = http2.createServer({ settings: { enableConnectProtocol: true } });
server.on("connect", (request, response) => { response.statusCode = 403; response.end(); });
server.on("request", answer);
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
