// Which sticker, and its settings.
import { ask } from "./ask.js";
import { element } from "./said.js";
import { base64 } from "./sources.js";
import { draw } from "./stage.js";

const at = (id) => document.getElementById(id);
const FILE = "a file", DRAWING = "a drawing";
let facts = null, sticker = null, changed = () => {}, tell = () => {};

export function begin(given, state, onChange, onProblem) {
  facts = given; sticker = state; changed = onChange; tell = onProblem;
  const own = facts.stickers.map((one) => new Option(`${one.words}: ${one.of}`, one.name));
  const kinds = facts.triggers.map((one) => new Option(one.words, one.name));
  const group = Object.assign(document.createElement("optgroup"), { label: "any trigger" });
  group.append(...kinds);
  at("which").append(...own, group, new Option("a file with transparency …", FILE), new Option("a drawing of yours …", DRAWING));
  at("which").onchange = () => choose(at("which").value);
  at("sticker-file").onchange = async () => {
    const file = at("sticker-file").files[0];
    at("sticker-file").value = "";
    if (file) await brought(await base64(file), null, 1, FILE);
  };
  at("sticker-file").oncancel = show;
  at("on").onchange = () => { sticker.on = at("on").checked; changed(); };
  at("scale").oninput = () => { sticker.scale = 2 ** at("scale").valueAsNumber; changed(); };
  at("turn").oninput = () => { sticker.turn = at("turn").valueAsNumber; changed(); };
  at("back").onclick = () => { Object.assign(sticker, { at: null, scale: 1, turn: 0, on: true }); changed(); };
  at("pen-clear").onclick = () => { sticker.on = false; draw(true); changed(); };
  show();
}

function choose(name) {
  at("pen").hidden = name !== DRAWING;
  draw(name === DRAWING);
  if (name === FILE) { at("sticker-file").click(); return; }
  Object.assign(sticker, { name: name === DRAWING ? "uploaded" : name, settings: {}, key: null, png: null, at: null, scale: 1, turn: 0, on: name !== DRAWING });
  show();
  changed();
}

export async function brought(png, place, scale, from = DRAWING) {
  try {
    const { key, picture } = await ask("bring", { what: "sticker", data: png });
    draw(false);
    Object.assign(sticker, { name: "uploaded", settings: {}, key, png: picture.split(",")[1], at: place, scale, turn: 0, on: true });
    at("which").value = from;
    show();
    changed();
  } catch (error) { tell(error.message); }
}

// The server keeps the last few only; whoever has it can bring it again.
export async function again() {
  if (sticker.name !== "uploaded" || !sticker.png) return false;
  sticker.key = (await ask("bring", { what: "sticker", data: sticker.png })).key;
  return true;
}

export function show() {
  const kind = [...facts.stickers, ...facts.triggers].find((one) => one.name === sticker.name);
  if (kind) at("which").value = sticker.name;
  else if (![FILE, DRAWING].includes(at("which").value)) at("which").value = FILE;
  at("place").hidden = at("back").hidden = kind ? !kind.stamp : false;
  at("knobs").replaceChildren(...(kind?.knobs ?? []).map((knob) => {
    const value = sticker.settings[knob.name] ?? knob.default;
    const out = element("output", { textContent: knob.type === "number" ? round(value) : "" });
    const types = { number: "range", color: "color", "yes-no": "checkbox" };
    const input = element("input", { type: types[knob.type] });
    if (knob.type === "number") Object.assign(input, { min: knob.low, max: knob.high, step: knob.step });
    if (knob.type === "yes-no") input.checked = value; else input.value = value;
    input.oninput = () => {
      const now = knob.type === "number" ? input.valueAsNumber : knob.type === "color" ? input.value : input.checked;
      sticker.settings = { ...sticker.settings, [knob.name]: now };
      if (knob.type === "number") out.textContent = round(now);
      changed();
    };
    return element("label", { title: knob.about }, knob.name, input, out);
  }));
  sync();
}

const round = (value) => String(Math.round(100 * value) / 100);

export function sync() {
  at("on").checked = sticker.on;
  at("scale").value = Math.log2(sticker.scale);
  at("scale-out").textContent = sticker.scale.toFixed(2);
  at("turn").value = sticker.turn;
  at("turn-out").textContent = `${Math.round(sticker.turn)}°`;
}
