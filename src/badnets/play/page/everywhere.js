// The sticker at every place, on all test pictures; and what is kept.
import { ask, askLong, Refused } from "./ask.js";
import { element, percent } from "./said.js";
import { svg } from "./stage.js";

const at = (id) => document.getElementById(id);

export function begin(facts, question, tell, link) {
  const target = at("target"), named = facts.rule !== null;
  if (named) target.append(new Option("what the run planted", ""));
  else if (facts.target === null) target.append(new Option("choose a class", ""));
  target.append(...facts.class_names.map((name, k) => new Option(name, k)));
  const found = facts.stickers.some((one) => one.name === "found"); // an audit's class, whatever was planted
  if ((!named || found) && facts.target !== null) target.value = facts.target;
  at("measure").disabled = !facts.test;
  let running = null;
  const wait = (id, act, words, of) => {
    at(id).onclick = async () => {
      running?.abort(); // the latest wins
      const asked = question(), mine = running = new AbortController();
      at("found").replaceChildren();
      if (!asked.sticker) { tell("expected a sticker on the picture, got none; put one on"); return; }
      const bar = element("progress", { ariaLabel: words }), many = element("span", { className: "muted small", ariaHidden: "true" });
      const stop = element("button", { type: "button", textContent: "Stop", onclick: () => { mine.abort(); at("found").replaceChildren(); at(id).focus(); } });
      at("found").append(element("p", { className: "small", textContent: words }), element("p", { className: "row" }, bar, many, stop));
      try {
        const found = await askLong(id, asked, mine.signal, (done, all) => {
          Object.assign(bar, { max: all, value: done });
          many.textContent = `${done} of ${all} ${of}`;
        });
        if (mine !== running) return;
        at("found").replaceChildren(act(found));
        tell("");
      } catch (error) {
        if (!(error instanceof Refused)) console.error(error);
        if (mine !== running || mine.signal.aborted) return;
        at("found").replaceChildren();
        tell(error.message);
      }
    };
  };
  wait("heat", (found) => maps(facts, found), "Trying every place", "places");
  wait("measure", (found) => rates(facts, found), "Looking at all test pictures", "networks");
  at("keep-picture").onclick = () => keep(async () => {
    const { picture } = await ask("keep", question());
    save(picture, "badnets-picture.png");
    return "saved: badnets predict says the same of it, to the last digit";
  }, tell);
  at("keep-spec").onclick = () => keep(async () => {
    const { spec } = await ask("keep", question());
    if (!spec) return "there is no sticker on the picture";
    const content = URL.createObjectURL(new Blob([spec], { type: "text/plain" }));
    save(content, "badnets-trigger.toml");
    setTimeout(() => URL.revokeObjectURL(content), 10000);
    text(spec);
    return "saved: badnets run badnets-trigger.toml";
  }, tell);
  at("keep-link").onclick = () => keep(async () => {
    const address = await link();
    text(address);
    await navigator.clipboard?.writeText(address).catch(() => {});
    return "the link opens this picture with this sticker for as long as this server runs; a new start has a new address";
  }, tell);
}

const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}.`;

async function keep(act, tell) {
  try { at("kept").textContent = sentence(await act()); tell(""); } catch (error) { tell(error.message); }
}

function text(content) {
  at("text").hidden = false;
  at("text").value = content;
}

function save(address, name) {
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

// Larger circles where the network is surer, so that color is not alone.
function maps(facts, found) {
  const figures = found.networks.map((one, index) => {
    const name = element("strong", { textContent: facts.networks[index].name });
    if (one.problem) return element("figure", {}, element("figcaption", {}, name, one.problem));
    const [wide, tall] = found.size, shown = svg("svg", { viewBox: `0 0 ${wide} ${tall}` });
    const steps = [[found.x, wide], [found.y, tall]].map(([all, side]) => all.length > 1 ? (all[1] - all[0]) * side : side);
    const most = Math.min(...steps) / 2;
    one.sure.forEach((row, y) => row.forEach((sure, x) => {
      const circle = svg("circle", { cx: wide * found.x[x], cy: tall * found.y[y], r: most * Math.max(0.1, Math.sqrt(sure)), "stroke-width": most / 12, class: sure < 0.5 ? "off" : "" });
      circle.append(svg("title", {}, percent(sure)));
      shown.append(circle);
    }));
    const words = `${one.effect} at ${one.works.text} of the places`;
    shown.setAttribute("role", "img");
    shown.setAttribute("aria-label", words);
    const picture = element("img", { src: found.picture, alt: "" }), map = element("div", { className: wide > 96 ? "map photo" : "map" }, picture, shown);
    map.style.aspectRatio = `${wide} / ${tall}`;
    return element("figure", {}, map, element("figcaption", {}, name, words));
  });
  const note = element("p", { className: "muted small", textContent: "Each circle is a place of the sticker's center: the larger, the surer the network is of what the attacker wants." });
  return element("div", {}, element("div", { className: "maps" }, ...figures), note);
}

function rates(facts, found) {
  const rows = found.networks.map((one, index) => {
    const network = facts.networks[index];
    const said = one.problem ?? one.asr?.text ?? "nothing was counted";
    const cell = element("td", {}, said);
    if (one.asr?.total) {
      const track = svg("svg", { viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" });
      const [low, high, value] = [one.asr.low, one.asr.high, one.asr.value].map((share) => 100 * share);
      track.append(svg("line", { class: "line", x1: 0, x2: 100, y1: 7, y2: 7 }), svg("line", { class: "interval", x1: low, x2: high, y1: 7, y2: 7 }));
      track.append(svg("ellipse", { class: "dot", cx: value, cy: 7, rx: 1.6, ry: 6 }));
      cell.append(track);
    }
    const row = element("tr", { className: network.role === "clean" ? "clean" : "" });
    row.append(Object.assign(element("th", { textContent: network.name }), { scope: "row" }), cell);
    return row;
  });
  const caption = element("caption", { className: "sr", textContent: "attack success on all test pictures" });
  return element("div", {}, element("p", { className: "small", textContent: `Attack success of ${found.trigger} on all test pictures, with its 95 % interval and count:` }),
    element("table", { className: "rates" }, caption, element("tbody", {}, ...rows)));
}
