// Sort a table by clicking a heading: numbers from high to low first, names in their listed order first.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
    const first = head.classList.contains("number") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = [...table.tBodies[0].rows].map((row) => [row.cells[column].dataset.key, row]);
    keyed.sort(([a], [b]) => (a === "") - (b === "") || sign * (a - b)); // a missing value is always last
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }));
}
