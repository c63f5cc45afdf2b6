// Show only the rows of a table whose first cell holds what is typed.
for (const field of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.getElementById(field.dataset.filters).tBodies[0].rows];
  const told = document.getElementById(`${field.dataset.filters}-shown`);
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    told.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  });
}
