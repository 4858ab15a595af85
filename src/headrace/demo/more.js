// The chat, the event stream, the file in parts, and the way to the other protocol. As in page.js, what is shown is said
// in data-* attributes too: #chat (state, version, messages), #events (state, events), #download (state, statuses,
// bytes), #protocols (current).

const byId = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const FILE = "/files/water.bin";
const PARTS = 4;
const RETRY_MS = 2000;

// ---- the other protocol: a browser speaks HTTP/1.1 where there is no TLS

async function showProtocols() {
  const [entry] = performance.getEntriesByType("navigation");
  const current = entry?.nextHopProtocol ?? "";
  byId("protocols").dataset.current = current;
  const addresses = await (await fetch("/addresses")).json();
  for (const [id, scheme, protocol] of [["over-h2", "https:", "h2"], ["over-h1", "http:", "http/1.1"]]) {
    const link = byId(id);
    if (protocol === current) link.setAttribute("aria-current", "page");
    const address = addresses.map((each) => new URL(each)).find((each) => each.protocol === scheme);
    if (address) link.href = `${scheme}//${location.hostname}:${address.port}/`;
  }
}

// ---- the chat

function line(from, text) {
  const item = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = from;
  item.append(name, ` ${text}`);
  byId("talk").append(item);
  while (byId("talk").children.length > 50) byId("talk").firstChild.remove();
  item.scrollIntoView({ block: "nearest" });
}

let socket = null;

function connect() {
  const chat = byId("chat");
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/chat`);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.hello) {
      Object.assign(chat.dataset, { state: "open", version: message.version });
      byId("chat-note").textContent =
        message.version === "2"
          ? "Over HTTP/2: one more stream of this page's connection (RFC 8441)."
          : `Over HTTP/${message.version}: a connection of its own, upgraded (RFC 6455).`;
      if (location.hash === "#greet") socket.send("Hello from this page");
      return;
    }
    chat.dataset.messages = Number(chat.dataset.messages) + 1;
    line(message.from, message.text);
  };
  socket.onclose = () => {
    chat.dataset.state = "closed";
    byId("chat-note").textContent = "not connected; trying again";
    setTimeout(connect, RETRY_MS);
  };
}

byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("words");
  if (field.value.trim() && socket.readyState === WebSocket.OPEN) {
    socket.send(field.value);
    field.value = "";
  }
});

// ---- the events

function listen() {
  const box = byId("events");
  const source = new EventSource("/events");
  const count = (text) => {
    box.dataset.events = Number(box.dataset.events) + 1;
    byId("event-count").textContent = box.dataset.events;
    byId("last-event").textContent = text;
  };
  source.onopen = () => (box.dataset.state = "open");
  source.onerror = () => (box.dataset.state = "closed");
  source.addEventListener("tick", ({ data }) => {
    byId("clock").textContent = data;
    count(data);
  });
  source.addEventListener("said", ({ data }) => count(JSON.parse(data).text));
}

// ---- the file

async function part(index, size, bar) {
  const first = Math.floor((index * size) / PARTS);
  const last = Math.floor(((index + 1) * size) / PARTS) - 1;
  const response = await fetch(FILE, { headers: { range: `bytes=${first}-${last}` } });
  const pieces = [];
  let got = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) break;
    pieces.push(value);
    got += value.length;
    bar.value = got / (last - first + 1);
  }
  return { status: response.status, pieces };
}

async function download() {
  const box = byId("download");
  const bars = [...byId("parts").children];
  byId("fetch-parts").disabled = true;
  box.dataset.state = "loading";
  try {
    const size = Number((await fetch(FILE, { method: "HEAD" })).headers.get("content-length"));
    const started = performance.now();
    const parts = await Promise.all(bars.map((bar, index) => part(index, size, bar)));
    const whole = new Uint8Array(await new Blob(parts.flatMap(({ pieces }) => pieces)).arrayBuffer());
    const elapsed = Math.round(performance.now() - started);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
    const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const wanted = await (await fetch(`${FILE}.sha256`)).text();
    const statuses = parts.map(({ status }) => status).join(" ");
    Object.assign(box.dataset, { state: found === wanted ? "right" : "wrong", statuses, bytes: whole.length });
    byId("download-note").textContent =
      `${number.format(whole.length)} bytes in ${number.format(elapsed)} ms, statuses ${statuses}; ` +
      `the SHA-256 is ${found === wanted ? "right" : "wrong"}.`;
  } catch (error) {
    box.dataset.state = "failed";
    byId("download-note").textContent = `It did not arrive: ${error.message}`;
  }
  byId("fetch-parts").disabled = false;
}

byId("fetch-parts").addEventListener("click", download);
showProtocols();
connect();
listen();
if (location.hash === "#greet") await download();
