// What the networks say: a card for each, whose rows never move.

const place = document.getElementById("said");
const heard = document.getElementById("heard");
const ROLES = { asked: "", clean: "clean", repaired: "repaired", guarded: "guarded" };
let cards = [], told = 0;

export function element(tag, options = {}, ...inside) {
  const { dataset, ...rest } = options;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset ?? {});
  made.append(...inside);
  return made;
}

export function percent(share) {
  return share > 0.9995 && share < 1 ? "> 99.9 %" : share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

export function makeCards(networks) {
  cards = networks.map((network) => {
    const first = element("p", { className: "first" }), was = element("p", { className: "was" });
    const bars = element("ul", { className: "bars" });
    const name = element("span", { textContent: network.name, title: network.name });
    const rows = Array.from({ length: 5 }, () => {
      const parts = {
        name: element("span", { className: "name" }), sure: element("span", { className: "sure" }),
        bar: element("span", { className: "bar" }), wasAt: element("span", { className: "was-at" }),
      };
      parts.row = element("li", {}, parts.name, parts.sure, element("span", { className: "track" }, parts.bar, parts.wasAt));
      bars.append(parts.row);
      return parts;
    });
    return { network, first, was, rows, card: element("section", { className: "card" }, element("h2", {}, name), first, was, bars) };
  });
  place.replaceChildren(...cards.map((one) => one.card));
}

export function showSaid(answer, withSticker) {
  const lines = cards.map((card, index) => {
    const now = answer.said[index], before = answer.clean[index];
    const rows = now.objects ? objects(now) : now.likeliest ?? [];
    const changed = withSticker && summary(now) !== summary(before);
    const verdict = now.problem ?? (summary(now) || "nothing");
    card.first.textContent = (changed ? "\u25B2 " : "\u25CF ") + verdict;
    card.first.title = verdict;
    card.first.classList.toggle("changed", changed);
    card.first.classList.toggle("same", !changed && !now.problem);
    card.was.textContent = !withSticker || now.problem ? "\u00A0"
      : changed ? `was ${summary(before) || "nothing"} without the sticker` : "the same without the sticker";
    card.was.title = card.was.textContent;
    card.rows.forEach((parts, number) => fill(parts, rows[number], before, changed && number === 0, number === 0));
    const sure = now.likeliest ? `, ${percent(now.likeliest[0].confidence)}` : "";
    return `${card.network.name}: ${verdict}${sure}${changed ? `, changed from ${summary(before) || "nothing"}` : ""}`;
  });
  clearTimeout(told); // a screen reader hears where it came to rest, not every step
  told = setTimeout(() => { heard.textContent = lines.join("; "); }, 500);
  return lines;
}

function objects(said) {
  return said.objects;
}

// What is said, in a word: the class, or of a detector all that it sees.
function summary(said) {
  return said.likeliest ? said.likeliest[0].class_name : (said.objects ?? []).map((one) => one.class_name).sort().join(", ");
}

function fill(parts, row, before, changed, first) {
  parts.row.style.visibility = row ? "visible" : "hidden";
  if (!row) return;
  parts.name.textContent = row.class_name;
  parts.name.title = row.class_name;
  parts.sure.textContent = percent(row.confidence);
  parts.bar.style.width = `${100 * row.confidence}%`;
  parts.bar.className = `bar ${changed ? "triggered" : first ? "clean" : ""}`;
  const was = before.likeliest?.find((one) => one.label === row.label);
  parts.wasAt.hidden = !was || was.confidence < 0.005;
  if (was) parts.wasAt.style.left = `${100 * was.confidence}%`;
}
