// The picture with its sticker: drawing it, and moving, resizing and turning by mouse, touch and keyboard.

const SVG = "http://www.w3.org/2000/svg";
export const stage = document.getElementById("stage");
const canvas = document.getElementById("picture"), over = document.getElementById("over"), ink = document.getElementById("ink");
const LIMITS = [0.05, 20], ROOM = 400;
let size = [1, 1], box = null, sticker = null, changed = () => {}, drawn = () => {}, drawing = false, seen = [];
const fingers = new Map();

export function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function begin(state, onChange, onDrawn) {
  sticker = state; changed = onChange; drawn = onDrawn;
  addEventListener("resize", fit);
}

export async function show(answer) {
  // An Image would wait for the next frame before it is decoded.
  const bytes = Uint8Array.from(atob(answer.picture.split(",")[1]), (letter) => letter.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  if (canvas.width !== answer.size[0] || canvas.height !== answer.size[1]) {
    [canvas.width, canvas.height] = size = answer.size;
    fit();
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
  image.close();
  if (!held()) box = answer.box ?? null;
  else if (answer.box && box) box = [...box.slice(0, 2), answer.box[2], answer.box[3]];
  else box = answer.box ?? null;
  seen = (answer.said[0]?.objects ?? []).map((one) => ({ ...one, changed: !answer.clean[0].objects?.some((was) => was.class_name === one.class_name) }));
  frame();
}

const held = () => fingers.size > 0;

// Whole-number scale for small pictures, so that a pixel is a square.
function fit() {
  const room = Math.min(stage.parentElement.parentElement.clientWidth, size[0] > 96 ? 560 : ROOM);
  const times = room / size[0];
  const scale = times >= 1 ? Math.max(1, Math.floor(times)) : times;
  stage.style.width = `${Math.round(scale * size[0])}px`;
  stage.style.height = `${Math.round(scale * size[1])}px`;
  stage.classList.toggle("photo", scale < 2);
  if (!drawing) [ink.width, ink.height] = [8 * size[0], 8 * size[1]].map((side) => Math.min(side, 512));
  frame();
}

function frame() {
  const scale = stage.clientWidth / size[0], parts = [];
  over.setAttribute("viewBox", `0 0 ${stage.clientWidth} ${stage.clientHeight}`);
  for (const one of seen) {
    const [x0, y0, x1, y1] = one.box.map((side) => scale * side);
    const shape = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    const color = one.changed ? "#f2994a" : "#6db3f2";
    parts.push(svg("rect", { class: "halo", ...shape }), svg("rect", { class: "seen", stroke: color, "stroke-dasharray": one.changed ? "7 4" : "none", ...shape }));
    parts.push(svg("text", { x: x0 + 4, y: Math.max(14, y0 - 5) }, `${one.class_name} ${(100 * one.confidence).toFixed(0)} %`));
  }
  if (box && sticker.on && !drawing) {
    const [left, top, width, height] = box.map((side) => scale * side);
    const shape = { x: left, y: top, width, height };
    parts.push(svg("rect", { class: "frame below", ...shape }), svg("rect", { class: "frame", ...shape }));
    parts.push(svg("rect", { class: "handle", x: left + width - 6, y: top + height - 6, width: 12, height: 12 }));
    parts.push(svg("circle", { class: "handle", cx: left + width / 2, cy: turnHandle(top), r: 6 }));
  }
  over.replaceChildren(...parts);
}

const turnHandle = (top) => (top > 22 ? top - 16 : top + 10);

function where(event) {
  const frameOf = stage.getBoundingClientRect();
  return [(event.clientX - frameOf.left) / frameOf.width, (event.clientY - frameOf.top) / frameOf.height];
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const center = () => (box ? [(box[0] + box[2] / 2) / size[0], (box[1] + box[3] / 2) / size[1]] : [0.5, 0.5]);

function move(x, y) {
  const half = box ? [box[2] / 2 / size[0], box[3] / 2 / size[1]] : [0, 0];
  sticker.at = [clamp(x, half[0], 1 - half[0]), clamp(y, half[1], 1 - half[1])];
  if (box) box = [sticker.at[0] * size[0] - box[2] / 2, sticker.at[1] * size[1] - box[3] / 2, box[2], box[3]];
  frame();
  changed();
}

function resize(factor) {
  sticker.at ??= center();
  sticker.scale = clamp(sticker.scale * factor, ...LIMITS);
  changed();
}

function turn(degrees) {
  sticker.at ??= center();
  sticker.turn = ((sticker.turn + degrees + 540) % 360) - 180;
  changed();
}

let grip = null;
stage.addEventListener("pointerdown", (event) => {
  if (!sticker || event.button) return;
  stage.setPointerCapture(event.pointerId);
  const [x, y] = where(event);
  fingers.set(event.pointerId, [x, y]);
  if (drawing) { stroke(null, [x, y]); return; }
  if (!sticker.on || !box) return;
  if (fingers.size > 1) { grip = null; return; } // two fingers resize and turn it where it lies
  const pixels = ([px, py]) => [px * stage.clientWidth, py * stage.clientHeight];
  const scale = stage.clientWidth / size[0], [left, top, width, height] = box.map((side) => side * scale), at = pixels([x, y]);
  const near = (px, py) => Math.hypot(at[0] - px, at[1] - py) < (event.pointerType === "touch" ? 24 : 12);
  const inside = at[0] > left && at[0] < left + width && at[1] > top && at[1] < top + height;
  const middle = center();
  grip = near(left + width, top + height) ? "resize" : near(left + width / 2, turnHandle(top)) ? "turn" : "move";
  grip = { what: grip, offset: inside ? [middle[0] - x, middle[1] - y] : [0, 0], middle, scale: sticker.scale, turn: sticker.turn, from: [x, y] };
  stage.classList.add("moving");
  grip.waits = grip.what === "move" && event.pointerType === "touch"; // for a second finger, or to be moved or lifted
  if (grip.what === "move" && !grip.waits) move(x + grip.offset[0], y + grip.offset[1]);
});

stage.addEventListener("pointermove", (event) => {
  if (!fingers.has(event.pointerId)) return;
  const before = fingers.get(event.pointerId), now = where(event);
  if (fingers.size === 2 && !drawing) { pinch(event.pointerId, before, now); return; }
  fingers.set(event.pointerId, now);
  if (drawing) { stroke(before, now); return; }
  if (!grip) return;
  grip.waits = false;
  const apart = ([x, y]) => [(x - grip.middle[0]) * size[0], (y - grip.middle[1]) * size[1]];
  const first = apart(grip.from), last = apart(now);
  if (grip.what === "move") move(now[0] + grip.offset[0], now[1] + grip.offset[1]);
  else if (grip.what === "resize") { sticker.scale = grip.scale; resize(Math.max(0.05, Math.hypot(...last) / Math.max(0.5, Math.hypot(...first)))); }
  else { sticker.turn = grip.turn; turn((Math.atan2(last[1], last[0]) - Math.atan2(first[1], first[0])) * 180 / Math.PI); }
});

function pinch(id, before, now) {
  const other = [...fingers].find(([key]) => key !== id)[1];
  const apart = ([x, y]) => [(x - other[0]) * size[0], (y - other[1]) * size[1]];
  const was = apart(before), is = apart(now);
  fingers.set(id, now);
  sticker.scale = clamp(sticker.scale * Math.hypot(...is) / Math.max(0.5, Math.hypot(...was)), ...LIMITS);
  turn((Math.atan2(is[1], is[0]) - Math.atan2(was[1], was[0])) * 180 / Math.PI);
}

for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (grip?.waits && end === "pointerup") { const [x, y] = where(event); move(x + grip.offset[0], y + grip.offset[1]); }
    grip = null;
    stage.classList.remove("moving");
    if (drawing && end === "pointerup") finish();
    else changed();
  });
}

const KEYS = {
  ArrowLeft: (step) => step(-1, 0), ArrowRight: (step) => step(1, 0), ArrowUp: (step) => step(0, -1), ArrowDown: (step) => step(0, 1),
  "+": () => resize(1.1), "=": () => resize(1.1), "-": () => resize(1 / 1.1), "[": () => turn(-5), "]": () => turn(5),
  " ": () => { sticker.on = !sticker.on; changed(); },
};
stage.addEventListener("keydown", (event) => {
  const act = KEYS[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const stride = event.shiftKey ? 4 : Math.max(1, Math.round(size[0] / 100));
  act((x, y) => { const [cx, cy] = sticker.at ?? center(); move(cx + stride * x / size[0], cy + stride * y / size[1]); });
});

// Drawing: lines on a sheet above the picture, which become a sticker where they were drawn.
export function draw(yes) {
  drawing = yes;
  ink.hidden = !yes;
  stage.classList.toggle("drawing", yes);
  if (yes) fit();
  ink.getContext("2d").clearRect(0, 0, ink.width, ink.height);
  frame();
}

function stroke(from, to) {
  const pen = ink.getContext("2d");
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = document.getElementById("pen-color").value;
  pen.lineWidth = document.getElementById("pen-width").valueAsNumber * ink.width / size[0] * Math.max(1, size[0] / 64);
  pen.beginPath();
  pen.moveTo((from ?? to)[0] * ink.width, (from ?? to)[1] * ink.height);
  pen.lineTo(to[0] * ink.width, to[1] * ink.height + 0.01);
  pen.stroke();
}

function finish() {
  const sheet = ink.getContext("2d").getImageData(0, 0, ink.width, ink.height);
  let [left, top, right, bottom] = [ink.width, ink.height, -1, -1];
  for (let i = 3; i < sheet.data.length; i += 4) {
    if (!sheet.data[i]) continue;
    const x = (i >> 2) % ink.width, y = Math.floor((i >> 2) / ink.width);
    left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  if (right < 0) return;
  const [wide, tall] = [(right - left + 1) / ink.width, (bottom - top + 1) / ink.height];
  // A sticker that was brought begins in a box of half the picture.
  const fitted = Math.min(0.5 / wide, 0.5 / tall);
  drawn(ink.toDataURL("image/png").split(",")[1], [left / ink.width + wide / 2, top / ink.height + tall / 2], 1 / fitted);
}
