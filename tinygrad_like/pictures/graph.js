// Draws a graph into the page, and again when a module is folded or unfolded: places.py in JavaScript.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const { LINE, PAD, HEADER, ROW, EDGE, COLUMN, MARGIN, WIDTH_OF_LANE, PASSES, PULL } = data.sizes;
const levels = new Map(data.levels.map((level) => [level.of, level]));
const folded = new Set(data.folded);
const OUTSIDE = null;
let color = data.color, zoom = 1;

// Rooms, see places.measure. A slot is [kind, number].

const depth = data.boxes.map((box) => {
  let n = 0;
  for (let home = box.home; home !== null; home = data.boxes[home].home) n++;
  return n;
});
const innermostFirst = data.boxes.map((_, i) => i).sort((a, b) => depth[b] - depth[a]);

function measure() {
  const rooms = new Map();
  for (const number of innermostFirst) {
    const widths = data.widths[number];
    if (levels.has(number) && !folded.has(number)) {
      rooms.set(number, roomOfLevel(levels.get(number), rooms, widths[0] + 2 * PAD + 16));
    } else {
      const width = Math.max(...widths) + 2 * PAD;
      rooms.set(number, { width, height: widths.length * LINE + PAD, open: false, ports: {} });
    }
  }
  const outside = levels.get(OUTSIDE) || { rows: [[], []], links: [] };
  rooms.set(OUTSIDE, roomOfLevel(outside, rooms, 0));
  return rooms;
}

function roomOfLevel(level, rooms, least) {
  const rows = level.rows;
  const widths = rows.map((row) =>
    row.map(([kind, n]) => (kind === "box" ? rooms.get(n).width : WIDTH_OF_LANE)));
  const heights = rows.map((row) =>
    Math.max(0, ...row.map(([kind, n]) => (kind === "box" ? rooms.get(n).height : 0))));
  let centres = centresOf(level, widths, rooms), left = Infinity, right = -Infinity;
  centres.forEach((row, i) => row.forEach((c, j) => {
    left = Math.min(left, c - widths[i][j] / 2);
    right = Math.max(right, c + widths[i][j] / 2);
  }));
  if (left === Infinity) left = right = 0;
  const width = Math.max(right - left + 2 * MARGIN, least), shift = (width - left - right) / 2;
  centres = centres.map((row) => row.map((c) => c + shift));
  const tops = [];
  let y = HEADER;
  heights.forEach((height, i) => {
    tops.push(y);
    const atEdge = i === 0 || i === rows.length - 2;
    const lined = rows[i === 0 ? 0 : rows.length - 1].length;
    y += height + (!atEdge ? ROW : lined ? EDGE : MARGIN / 2);
  });
  const ports = {};
  for (const i of [0, rows.length - 1]) {
    rows[i].forEach(([kind, n], j) => { ports[`${kind} ${n}`] = centres[i][j] - width / 2; });
  }
  return { width, height: tops[tops.length - 1] + MARGIN, open: true, centres, tops, heights, ports };
}

function port(rooms, [kind, number], side, source) {
  return kind === "box" ? rooms.get(number).ports[`${side} ${source}`] ?? 0 : 0;
}

function centresOf(level, widths, rooms) {
  const near = level.rows.map((row) => row.map(() => []));
  for (const [row, a, b, source] of level.links) {
    const start = level.rows[row][a], end = level.rows[row + 1][b];
    const weight = start[0] === "lane" && end[0] === "lane" ? 8 : 1;
    const offset = port(rooms, start, "out", source) - port(rooms, end, "in", source);
    near[row + 1][b].push([row, a, offset, weight]);
    near[row][a].push([row + 1, b, -offset, weight]);
  }
  const centres = widths.map((ws) => {
    const xs = spread(ws.map(() => 0), ws.map(() => 1), ws);
    return xs.map((x) => x - xs.reduce((sum, each) => sum + each, 0) / xs.length);
  });
  for (let pass = 0; pass < PASSES; pass++) {
    for (let step = 0; step < centres.length; step++) {
      const row = pass % 2 === 0 ? step : centres.length - 1 - step, wanted = [], weights = [];
      for (const links of near[row]) {
        let total = PULL, pulled = 0;
        for (const [other, j, offset, weight] of links) {
          total += weight;
          pulled += weight * (centres[other][j] + offset);
        }
        wanted.push(pulled / total);
        weights.push(total);
      }
      centres[row] = spread(wanted, weights, widths[row]);
    }
  }
  return centres;
}

function spread(wanted, weights, widths) {
  const before = [], pools = [];
  let position = 0;
  widths.forEach((w, i) => {
    position += i ? (widths[i - 1] + w) / 2 + COLUMN : 0;
    before.push(position);
  });
  wanted.forEach((want, i) => {
    pools.push([weights[i] * (want - before[i]), weights[i], 1]);
    while (pools.length > 1) {
      const [a, b] = pools.slice(-2);
      if (!(a[0] * b[1] > b[0] * a[1])) break;
      pools.splice(-2, 2, [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
    }
  });
  const means = pools.flatMap(([total, weight, count]) => Array(count).fill(total / weight));
  return means.map((mean, i) => mean + before[i]);
}

// The drawing, see places.drawn and svg.py.

function element(name, attributes, parent, content) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content !== undefined) made.textContent = content;
  if (parent) parent.append(made);
  return made;
}

function drawLevel(picture, rooms, number, x, y) {
  const level = levels.get(number), room = rooms.get(number), boxes = new Map();
  const begun = new Set();
  if (!level || !room.open) return;
  level.rows.forEach((row, i) => row.forEach(([kind, n], j) => {
    if (kind !== "box") return;
    const size = rooms.get(n);
    const box = {
      number: n, size, x: x + room.centres[i][j] - size.width / 2,
      y: y + room.tops[i] + (room.heights[i] - size.height) / 2,
    };
    boxes.set(`${i} ${j}`, box);
    drawBox(picture, box);
  }));
  for (const [i, a, b, source] of level.links) {
    const start = level.rows[i][a], end = level.rows[i + 1][b];
    const above = boxes.get(`${i} ${a}`), below = boxes.get(`${i + 1} ${b}`);
    const x1 = x + room.centres[i][a] + port(rooms, start, "out", source);
    const x2 = x + room.centres[i + 1][b] + port(rooms, end, "in", source);
    const y2 = y + room.tops[i] + room.heights[i], y3 = y + room.tops[i + 1], key = [i, a, source];
    const top = above ? above.y + above.size.height : start[0] === "in" ? y : y + room.tops[i];
    const y1 = begun.has(`${key}`) ? y2 : top;
    begun.add(`${key}`);
    const y4 = end[0] === "out" ? y + room.height : below ? below.y : y3, middle = (y2 + y3) / 2;
    const d = `M${x1} ${y1}V${y2}C${x1} ${middle} ${x2} ${middle} ${x2} ${y3}V${y4}`;
    const line = element("path", { class: "line", d }, picture);
    if (below && !(`in ${source}` in below.size.ports)) line.setAttribute("marker-end", "url(#end)");
  }
  for (const box of boxes.values()) {
    if (!box.size.open) continue;
    drawLevel(picture, rooms, box.number, box.x, box.y);
    const place = { x: box.x + PAD, y: box.y + LINE };
    element("text", { class: "title name", ...place }, picture, data.boxes[box.number].lines[0]);
  }
}

function drawBox(picture, { number, size, x, y }) {
  const { kind, lines } = data.boxes[number];
  const group = element("g", {
    class: kind + (size.open ? " open" : ""), transform: `translate(${x} ${y})`,
    "data-number": number,
  }, picture);
  element("title", {}, group, lines.join("\n"));
  const box = element("rect", { width: size.width, height: size.height, rx: 4 }, group);
  if (color !== "none" && !size.open && kind !== "leaf") box.style.fill = data.shades[color].colours[number];
  (size.open ? [] : lines).forEach((line, i) => {
    const place = { x: PAD, y: LINE * (i + 1) };
    element("text", i ? place : { class: "title", ...place }, group, line);
  });
  if (!levels.has(number)) return;
  group.setAttribute("tabindex", 0);
  group.setAttribute("role", "button");
  group.setAttribute("aria-expanded", size.open);
  group.addEventListener("click", () => turn(number));
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    turn(number);
    document.querySelector(`[data-number="${number}"]`).focus();
  });
}

function turn(number) {
  const view = document.getElementById("view");
  const at = () => {
    const place = document.querySelector(`[data-number="${number}"]`).getBoundingClientRect();
    return [place.left, place.top];
  };
  const [left, top] = at();
  if (!folded.delete(number)) folded.add(number);
  draw();
  const [newLeft, newTop] = at();
  view.scrollBy(newLeft - left, newTop - top);  // what was clicked stays where it is
}

function draw() {
  const rooms = measure(), { width, height } = rooms.get(OUTSIDE);
  const picture = element("svg", {
    class: "graph", viewBox: `0 0 ${width} ${height}`, width: width * zoom, height: height * zoom,
  });
  const marker = element("marker", {
    id: "end", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: 90,
  }, element("defs", {}, picture));
  element("path", { d: "M0 0L8 4L0 8z" }, marker);
  drawLevel(picture, rooms, OUTSIDE, 0, 0);
  document.getElementById("view").replaceChildren(picture);
  document.getElementById("range").textContent = color !== "none" ? data.shades[color].range : "";
}

function on(id, event, act) {
  document.getElementById(id).addEventListener(event, () => { act(); draw(); });
}

function fit() {
  const view = document.getElementById("view"), { width, height } = measure().get(OUTSIDE);
  zoom = Math.min(1, view.clientWidth / width, view.clientHeight / height);
}

const choice = document.getElementById("color");
for (const name of [...Object.keys(data.shades), "none"]) choice.add(new Option(name, name));
choice.value = color;
on("color", "change", () => { color = choice.value; });
on("unfold", "click", () => folded.clear());
on("fold", "click", () => { for (const n of levels.keys()) if (n !== OUTSIDE) folded.add(n); });
on("smaller", "click", () => { zoom /= 1.25; });
on("larger", "click", () => { zoom *= 1.25; });
on("fit", "click", fit);
draw();
