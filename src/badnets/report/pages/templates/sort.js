for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const before = head.getAttribute("aria-sort"), first = head.dataset.first;
    const order = !before ? first : before === "ascending" ? "descending" : "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const key = row => row.cells[column]?.dataset.key ?? "";
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (!x || !y) return !x - !y;
      const less = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return order === "ascending" ? less : -less;
    };
    for (const body of table.tBodies)
      body.append(...[...body.rows].filter(row => !row.classList.contains("group")).sort(compare));
  }));
  const search = table.closest("section").querySelector("input[type=search]");
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/);
    for (const body of table.tBodies)
      for (const row of body.rows)
        row.hidden = !row.classList.contains("group") && !words.every(word => row.textContent.toLowerCase().includes(word));
  });
}
