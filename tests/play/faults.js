() => {
  // What a screen reader, a keyboard or weak eyes would miss.
  const faults = [], shown = (e) => e.getClientRects().length && getComputedStyle(e).visibility !== "hidden";
  const name = (e) => e.getAttribute("aria-label") || (e.labels?.length && e.labels[0].textContent.trim())
    || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent || e.textContent.trim() || e.title;
  for (const e of document.querySelectorAll("button, input, select, textarea, [role=application], [role=img]")) {
    if (shown(e) && !name(e) && !e.querySelector("img[alt]:not([alt=''])")) faults.push(`no name: ${e.outerHTML.slice(0, 80)}`);
  }
  for (const e of document.querySelectorAll("img:not([alt])")) faults.push(`no alt: ${e.outerHTML.slice(0, 80)}`);
  for (const e of document.querySelectorAll("section")) if (!e.querySelector("h1, h2") && !e.getAttribute("aria-labelledby")) faults.push(`no heading: ${e.className}`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size < ids.length) faults.push("an id twice");
  for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) for (const at of ["aria-describedby", "aria-labelledby"]) {
    if (e.hasAttribute(at) && !document.getElementById(e.getAttribute(at))) faults.push(`leads nowhere: ${e.getAttribute(at)}`);
  }
  if (!document.documentElement.lang || !document.title || document.querySelectorAll("h1").length !== 1 || !document.querySelector("main")) faults.push("no language, title, heading or main");
  const light = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c; } return "rgb(255, 255, 255)"; };
  for (const e of document.querySelectorAll("h1, h2, p, span, label, button, select, td, th, figcaption, output, kbd")) {
    if (!e.textContent.trim() || !shown(e) || e.disabled || e.closest(".sr")) continue;
    const a = light(getComputedStyle(e).color), b = light(behind(e)), contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`pale ${contrast.toFixed(2)}: ${e.textContent.trim().slice(0, 40)}`);
  }
  for (const e of document.querySelectorAll("button, select, input:not(.sr)")) {
    const box = e.getBoundingClientRect();
    if (shown(e) && !e.closest(".sr") && Math.min(box.width, box.height) < 17) faults.push(`small: ${e.outerHTML.slice(0, 60)}`);
    if (shown(e) && !e.closest(".sr") && box.right > innerWidth + 1) faults.push(`outside: ${e.outerHTML.slice(0, 60)}`);
  }
  return faults;
}
