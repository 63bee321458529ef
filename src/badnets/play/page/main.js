// The page's state, and what happens when it changes.
import { ask, Latest, onReturn, Refused } from "./ask.js";
import * as everywhere from "./everywhere.js";
import { makeCards, showSaid } from "./said.js";
import * as sources from "./sources.js";
import * as stage from "./stage.js";
import * as stickers from "./stickers.js";

const at = (id) => document.getElementById(id);
const sticker = { on: true, name: "picture", settings: {}, key: null, png: null, at: null, scale: 1, turn: 0 };
const state = { picture: null };
let facts = null, slow = 0;

const tell = (problem) => { at("problem").textContent = problem ? `${problem[0].toUpperCase()}${problem.slice(1)}.` : ""; };

function question() {
  const { on, name, settings, key, at: place, scale, turn } = sticker;
  const put = on && (name !== "uploaded" || key) ? { name, settings, key, at: place, scale, turn } : null;
  const { row, key: picture, data } = state.picture ?? {};
  const shown = row !== undefined ? { row } : picture ? { key: picture } : data ? { data } : null;
  const wanted = at("target").value;
  return { picture: shown, sticker: put, target: wanted === "" ? null : Number(wanted) };
}

const latest = new Latest(async (answer, asked) => {
  clearTimeout(slow);
  at("work").hidden = true;
  await stage.show(answer);
  const withSticker = asked.sticker !== null;
  const lines = showSaid(answer, withSticker);
  at("true").textContent = answer.label === null ? "" : `It is: ${facts.class_names[answer.label]}`;
  at("picture").setAttribute("aria-label", lines.join("; "));
  document.documentElement.dataset.answered = answer.number;
  tell("");
}, async (problem, asked) => {
  clearTimeout(slow);
  at("work").hidden = true;
  if (problem.includes("was dropped") && !asked.again && (await bringAgain())) latest.put({ ...question(), });
  else tell(problem);
});

async function bringAgain() {
  try {
    const kept = state.picture?.picture;
    if (kept) state.picture.key = (await ask("bring", { what: "picture", data: kept.split(",")[1] })).key;
    return (await stickers.again()) || Boolean(kept);
  } catch { return false; }
}

function changed() {
  stickers.sync();
  if (!state.picture) return;
  clearTimeout(slow);
  slow = setTimeout(() => { at("work").hidden = false; }, 300);
  latest.put(question());
}

function take(picture, silent = false) {
  state.picture = picture;
  if (!silent) sources.mark(picture);
  changed();
}

// A link says which picture: the server keeps one that was brought.
async function link() {
  const kept = { picture: state.picture && (await ask("link", question())), sticker, target: at("target").value };
  const text = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(kept))));
  return `${location.href.split("#")[0]}#${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

function restored() {
  if (location.hash.length < 2) return null;
  try {
    const bytes = atob(location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))));
  } catch {
    tell("expected a link that this page has made, got another one");
    return null;
  }
}

async function start() {
  facts = await ask("begin");
  at("about").textContent = [facts.networks[0].name, facts.test ? facts.test.name : null].filter(Boolean).map((one) => `\u00B7 ${one}`).join(" ");
  makeCards(facts.networks);
  sticker.name = facts.stickers.length ? facts.stickers[facts.stickers.length - 1].name : "picture";
  if (sticker.name === "picture") sticker.at = [0.5, 0.5];
  const kept = restored();
  for (const name of Object.keys(sticker)) if (kept?.sticker && name in kept.sticker) sticker[name] = kept.sticker[name];
  stage.begin(sticker, changed, stickers.brought);
  stickers.begin(facts, sticker, changed, tell);
  everywhere.begin(facts, question, tell, link);
  if (typeof kept?.target === "string") at("target").value = kept.target;
  sources.begin(facts, take, tell);
  onReturn(changed);
  if (sticker.name === "uploaded") await stickers.again().catch(() => {});
  const first = facts.first === null ? null : { row: facts.first };
  const shown = kept?.picture ?? first;
  if (shown) take(shown);
  else tell("there are no test pictures here: open a file, drop one, or use the camera");
}

start().catch((error) => {
  if (!(error instanceof Refused)) throw error;
  tell(error.message);
  onReturn(() => location.reload());
});
