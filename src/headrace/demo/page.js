// The page's own figures. What it shows it also says in data-* attributes, which the screenshot test reads:
// #figures (tiles-wanted, tiles-loaded, tiles-failed, protocols, connections, elapsed-ms, rounds) and
// #live (lines, connection, and one attribute a figure).

const TILES = 200;
const SPARK_POINTS = 80; // twenty seconds of lines
const LIVE_RETRY_MS = 2000;

const byId = (id) => document.getElementById(id);
const grid = byId("grid");
const figures = byId("figures");
const live = byId("live");
const number = new Intl.NumberFormat("en");

performance.setResourceTimingBufferSize(4 * TILES);

// ---- the pictures

let round = 0;

function loadTile(path) {
  const tile = document.createElement("div");
  tile.className = "tile";
  const image = new Image(64, 64);
  image.alt = "";
  const settled = new Promise((resolve) => {
    image.onload = () => {
      image.className = "here";
      resolve(true);
    };
    image.onerror = () => {
      tile.classList.add("failed");
      resolve(false);
    };
  });
  image.src = path;
  tile.append(image);
  return { tile, settled };
}

async function loadAll() {
  const slow = byId("slow").checked;
  round += 1;
  byId("again").disabled = true;
  performance.clearResourceTimings();
  Object.assign(figures.dataset, { tilesWanted: TILES, tilesLoaded: 0, tilesFailed: 0 });
  byId("status").textContent = slow ? "Loading, and the server takes its time…" : "Loading…";
  const started = performance.now();
  let loaded = 0;
  const tiles = Array.from({ length: TILES }, (_, n) => loadTile(`/tile/${n}.svg?round=${round}${slow ? "&slow" : ""}`));
  grid.replaceChildren(...tiles.map((each) => each.tile));
  const outcomes = await Promise.all(
    tiles.map(async ({ settled }) => {
      const good = await settled;
      loaded += good;
      figures.dataset.tilesLoaded = loaded;
      byId("sum-tiles").textContent = loaded;
      return good;
    }),
  );
  figures.dataset.tilesFailed = outcomes.filter((good) => !good).length;
  showTimings(started);
  figures.dataset.rounds = round;
  byId("again").disabled = false;
}

function showTimings(started) {
  const mark = `round=${round}`;
  const entries = performance.getEntriesByType("resource").filter((each) => new URL(each.name).search.includes(mark));
  const protocols = new Set(entries.map((each) => each.nextHopProtocol));
  const timings = entries.flatMap((each) => each.serverTiming.filter((timing) => timing.name === "connection"));
  const connections = new Set(timings.map((timing) => timing.description));
  const first = Math.min(...entries.map((each) => each.startTime), performance.now());
  const last = Math.max(...entries.map((each) => each.responseEnd), started);
  const elapsed = Math.round(last - first);
  Object.assign(figures.dataset, {
    protocols: [...protocols].join(" "),
    connections: connections.size,
    connectionIds: [...connections].join(" "),
    elapsedMs: elapsed,
  });
  byId("sum-connections").textContent = connections.size;
  byId("sum-connections").nextElementSibling.textContent = connections.size === 1 ? "connection" : "connections";
  byId("sum-protocol").textContent = [...protocols].join(" ") || "–";
  byId("sum-time").textContent = `${number.format(elapsed)} ms`;
  const failed = Number(figures.dataset.tilesFailed);
  byId("status").textContent = failed
    ? `${failed} of ${TILES} pictures did not arrive.`
    : `${entries.length} requests, ${connections.size} connection${connections.size === 1 ? "" : "s"}, ` +
      `${number.format(elapsed)} ms. Load again, or in slow motion, and watch the panel.`;
  drawWaterfall(entries, first, last);
}

function drawWaterfall(entries, first, last) {
  const canvas = byId("waterfall");
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const ink = canvas.getContext("2d");
  ink.scale(scale, scale);
  const span = Math.max(last - first, 1);
  const style = getComputedStyle(document.documentElement);
  const [waiting, arriving] = [style.getPropertyValue("--accent-soft"), style.getPropertyValue("--accent")];
  const row = height / entries.length;
  const x = (time) => ((time - first) / span) * width;
  [...entries]
    .sort((a, b) => a.startTime - b.startTime)
    .forEach((each, index) => {
      const answered = each.responseStart || each.responseEnd;
      ink.fillStyle = waiting;
      ink.fillRect(x(each.startTime), index * row, x(answered) - x(each.startTime), Math.max(row, 0.6));
      ink.fillStyle = arriving;
      ink.fillRect(x(answered), index * row, Math.max(x(each.responseEnd) - x(answered), 2), Math.max(row, 0.6));
    });
  byId("waterfall-scale").textContent = `0 to ${number.format(Math.round(span))} ms`;
  canvas.setAttribute("aria-label", `Timing of ${entries.length} requests, all within ${Math.round(span)} milliseconds`);
}

// ---- the panel: one response that never ends, one JSON object a line

const rates = [];
let before = null;

function showLine(line) {
  const { stats } = line;
  const passed = before ? line.at - before.at : 0;
  const asked = (figures) => figures.streams_opened ?? figures.requests; // HTTP/1.1 has no streams to count
  const rate = passed > 0 ? Math.max(0, Math.round((asked(stats) - asked(before.stats)) / passed)) : 0;
  before = line;
  rates.push(rate);
  if (rates.length > SPARK_POINTS) rates.shift();
  byId("rate").textContent = number.format(rate);
  drawSpark();
  for (const name of ["open_streams", "streams_opened", "frames_in", "frames_out"]) {
    byId(name).textContent = name in stats ? number.format(stats[name]) : "–";
  }
  for (const name of ["send_window", "receive_window"].filter((each) => each in stats)) {
    const meter = byId(name);
    meter.parentElement.hidden = false;
    meter.max = Math.max(meter.max, stats[name], 1);
    meter.value = Math.max(stats[name], 0);
    byId(`${name}_text`).textContent = byteSize(stats[name]);
  }
  byId("all-figures").replaceChildren(...Object.entries(stats).map(([name, value]) => row(name, value)));
  Object.assign(live.dataset, { lines: Number(live.dataset.lines) + 1, connection: line.connection, rate });
  for (const [name, value] of Object.entries(stats)) live.setAttribute(`data-${name.replaceAll("_", "-")}`, value);
  live.dataset.highestRate = Math.max(rate, Number(live.dataset.highestRate ?? 0));
  byId("highest").textContent = number.format(live.dataset.highestRate);
  showBadge("yes", `${line.encrypted ? "encrypted" : "cleartext"} connection from port ${line.connection}`);
}

function row(name, value) {
  const [box, term, description] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  term.textContent = name.replaceAll("_", " ");
  description.textContent = typeof value === "number" ? number.format(value) : value;
  box.append(term, description);
  return box;
}

function byteSize(count) {
  return count < 1024 ? `${count} bytes` : `${number.format(Math.round(count / 1024))} KiB`;
}

function drawSpark() {
  const highest = Math.max(...rates, 10);
  const points = rates.map((rate, index) => {
    const x = ((SPARK_POINTS - rates.length + index) / (SPARK_POINTS - 1)) * 240;
    return `${x.toFixed(1)},${(54 - (rate / highest) * 50).toFixed(1)}`;
  });
  const line = `M${points.join("L")}`;
  const start = points[0].split(",")[0];
  byId("spark-line").setAttribute("d", line);
  byId("spark-area").setAttribute("d", `${line}L240,56L${start},56Z`);
}

function showBadge(state, text) {
  byId("badge").dataset.live = state;
  byId("badge-text").textContent = text;
}

async function follow() {
  const response = await fetch("/live");
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = response.body.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    lines.filter(Boolean).forEach((line) => showLine(JSON.parse(line)));
  }
}

async function followForEver() {
  for (;;) {
    try {
      await follow();
      showBadge("no", "the stream ended; trying again");
    } catch {
      showBadge("no", "not connected; trying again");
    }
    before = null; // the next line may come from another connection
    await new Promise((resolve) => setTimeout(resolve, LIVE_RETRY_MS));
  }
}

byId("slow").checked = location.hash === "#slow";
byId("again").addEventListener("click", loadAll);
followForEver();
await loadAll();
document.documentElement.dataset.state = "ready";
