// Draw the confusion matrix on a canvas: hover and arrow keys read cells, zoom and drag look closer.
{
  const { names, counts, cells, similar, unit = "images" } = JSON.parse(document.getElementById("matrix-data").textContent);
  const size = names.length;
  const canvas = document.getElementById("matrix");
  const readout = document.getElementById("matrix-readout");
  const context = canvas.getContext("2d");
  const found = new Map(cells.map(([truth, predicted, count]) => [truth * size + predicted, count]));
  const FONT = "system-ui, sans-serif";

  let order = names.map((_, index) => index); // position on the axes → class
  let place = order.slice(); // class → position
  let zoom = 1;
  let corner = [0, 0]; // first visible position: [column, row]
  let selected = null; // [column, row]

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const closest = () => Math.max(1, size / 6); // at the closest, six classes across
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Where things lie, in CSS pixels; names are written only where a cell is tall enough for them.
  function frame() {
    const width = canvas.clientWidth;
    const named = Math.min(width * 0.26, 170);
    const plain = 48;
    const cellWhenNamed = ((width - named) * zoom) / size;
    const margin = cellWhenNamed >= 11 ? named : plain;
    const side = width - margin;
    return { width, margin, side, cell: (side * zoom) / size, named: margin === named };
  }

  function shorten(text, room) {
    if (context.measureText(text).width <= room) return text;
    let end = text.length;
    while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
    return `${text.slice(0, end)}…`;
  }

  function drawCells({ margin, side, cell }) {
    const right = style("--right");
    const wrong = style("--wrong");
    const ink = style("--ink");
    context.save();
    context.beginPath();
    context.rect(margin, margin, side, side);
    context.clip();
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `${clamp(cell * 0.3, 10, 16)}px ${FONT}`;
    for (const [truth, predicted, count] of cells) {
      const x = margin + (place[predicted] - corner[0]) * cell;
      const y = margin + (place[truth] - corner[1]) * cell;
      if (x + cell < margin || y + cell < margin || x > margin + side || y > margin + side) continue;
      const share = count / Math.max(counts[truth], 1);
      // The root, and a floor where cells are small, keep a single wrong image of a large class visible.
      const faint = cell < 12 ? 0.3 : 0.1;
      context.globalAlpha = truth === predicted ? 0.1 + 0.7 * share : faint + (0.9 - faint) * Math.sqrt(share);
      context.fillStyle = truth === predicted ? right : wrong;
      const gap = cell > 12 ? 1 : 0;
      context.fillRect(x, y, Math.max(cell - gap, 1.5), Math.max(cell - gap, 1.5));
      if (cell < 24) continue;
      context.globalAlpha = 1;
      context.fillStyle = ink;
      context.fillText(count, x + cell / 2, y + cell / 2);
    }
    context.restore();
  }

  function drawNames({ margin, side, cell }) {
    context.font = `${clamp(cell * 0.6, 10, 13)}px ${FONT}`;
    context.textBaseline = "middle";
    for (let step = 0; step <= Math.ceil(side / cell); step += 1) {
      const row = Math.floor(corner[1]) + step;
      const y = margin + (row + 0.5 - corner[1]) * cell;
      if (row < size && y > margin && y < margin + side) {
        context.textAlign = "right";
        context.fillText(shorten(names[order[row]], margin - 24), margin - 6, y);
      }
      const column = Math.floor(corner[0]) + step;
      const x = margin + (column + 0.5 - corner[0]) * cell;
      if (column < size && x > margin && x < margin + side) {
        context.save();
        context.translate(x, margin - 6);
        context.rotate(-Math.PI / 2);
        context.textAlign = "left";
        context.fillText(shorten(names[order[column]], margin - 24), 0, 0);
        context.restore();
      }
    }
  }

  function drawNumbers({ margin, side, cell }) {
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((every) => every * cell >= 36) ?? 1000;
    context.font = `11.5px ${FONT}`;
    for (let position = 0; position < size; position += step) {
      const x = margin + (position + 0.5 - corner[0]) * cell;
      const y = margin + (position + 0.5 - corner[1]) * cell;
      context.textBaseline = "middle";
      context.textAlign = "right";
      if (y >= margin && y <= margin + side) context.fillText(position + 1, margin - 6, y);
      context.textBaseline = "alphabetic";
      context.textAlign = "center";
      if (x >= margin && x <= margin + side) context.fillText(position + 1, x, margin - 6);
    }
  }

  function drawTitles({ margin, side }) {
    context.font = `12px ${FONT}`;
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText("predicted class →", margin, 1);
    context.save();
    context.translate(1, margin + side);
    context.rotate(-Math.PI / 2);
    context.fillText("← true class", side - context.measureText("← true class").width, 0);
    context.restore();
  }

  function drawSelection({ margin, side, cell }) {
    if (!selected) return;
    const [x, y] = selected.map((position, axis) => margin + (position - corner[axis]) * cell);
    context.save();
    context.beginPath();
    context.rect(margin, margin, side, side);
    context.clip();
    context.strokeStyle = style("--muted");
    context.globalAlpha = 0.5;
    context.strokeRect(margin - 2, y, side + 4, cell);
    context.strokeRect(x, margin - 2, cell, side + 4);
    context.globalAlpha = 1;
    context.strokeStyle = style("--ink");
    context.lineWidth = 1.5;
    context.strokeRect(x - 1, y - 1, Math.max(cell, 4) + 1, Math.max(cell, 4) + 1);
    context.restore();
  }

  function draw() {
    const view = frame();
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${view.width}px`;
    canvas.width = canvas.height = Math.round(view.width * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = style("--wash");
    context.fillRect(view.margin, view.margin, view.side, view.side);
    drawCells(view);
    context.fillStyle = style("--muted");
    if (view.named) drawNames(view);
    else drawNumbers(view);
    drawTitles(view);
    drawSelection(view);
    canvas.classList.toggle("zoomed", zoom > 1);
  }

  function tell() {
    if (!selected) return;
    const [predicted, truth] = selected.map((position) => order[position]);
    const count = found.get(truth * size + predicted) ?? 0;
    const share = counts[truth] ? ` (${Math.round((100 * count) / counts[truth])} %)` : "";
    const verdict = truth === predicted ? `${names[truth]}, named right` : `${names[truth]}, taken for ${names[predicted]}`;
    readout.textContent = `${verdict}: ${count} of ${counts[truth]} ${unit}${share}`;
  }

  function select(column, row) {
    selected = [clamp(column, 0, size - 1), clamp(row, 0, size - 1)];
    tell();
    draw();
  }

  function look(column, row) {
    const seen = size / zoom;
    corner = [clamp(column, 0, size - seen), clamp(row, 0, size - seen)];
    draw();
  }

  // Zoom so that `at`, a point of the axes, stays where it is on the screen.
  function zoomBy(factor, at) {
    const before = zoom;
    zoom = factor === 0 ? 1 : clamp(zoom * factor, 1, closest());
    const centre = at ?? (selected ? selected.map((position) => position + 0.5) : corner.map((c) => c + size / before / 2));
    look(...corner.map((start, axis) => centre[axis] - ((centre[axis] - start) * before) / zoom));
  }

  function bringIntoView() {
    const seen = size / zoom;
    look(...corner.map((start, axis) => clamp(start, selected[axis] + 1 - seen, selected[axis])));
  }

  function pointOf(event) {
    const box = canvas.getBoundingClientRect();
    const { margin, cell } = frame();
    return [(event.clientX - box.left - margin) / cell + corner[0], (event.clientY - box.top - margin) / cell + corner[1]];
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, corner: corner.slice() };
  });
  window.addEventListener("pointerup", () => { drag = null; });
  window.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (drag && zoom > 1) {
      const { cell } = frame();
      look(drag.corner[0] - (event.clientX - drag.x) / cell, drag.corner[1] - (event.clientY - drag.y) / cell);
      return;
    }
    const [column, row] = pointOf(event).map(Math.floor);
    if (column >= corner[0] - 1 && row >= corner[1] - 1 && column < size && row < size) select(column, row);
  });
  canvas.addEventListener("click", (event) => select(...pointOf(event).map(Math.floor)));
  canvas.addEventListener("dblclick", (event) => zoomBy(2, pointOf(event)));
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // plain scrolling belongs to the page; a pinch comes with ctrl
    event.preventDefault();
    zoomBy(Math.exp(-event.deltaY / 200), pointOf(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const [column, row] = selected ?? [0, 0];
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in moves) {
      select(column + moves[event.key][0], row + moves[event.key][1]);
      bringIntoView();
    } else if (event.key === "+" || event.key === "=") zoomBy(2);
    else if (event.key === "-") zoomBy(0.5);
    else return;
    event.preventDefault();
  });

  for (const button of document.querySelectorAll("button[data-zoom]")) {
    button.addEventListener("click", () => zoomBy(Number(button.dataset.zoom)));
  }
  const chosen = document.getElementById("matrix-order");
  function reorder() {
    const kept = selected?.map((position) => order[position]);
    order = chosen.value === "similar" ? similar : names.map((_, index) => index);
    order.forEach((label, position) => { place[label] = position; });
    if (kept) selected = kept.map((label) => place[label]);
    draw();
  }
  chosen.addEventListener("change", reorder);
  for (const button of document.querySelectorAll(".pairs button")) {
    button.addEventListener("click", () => {
      const { predicted, true: truth } = button.dataset;
      zoom = clamp(size / 12, 1, closest());
      select(place[predicted], place[truth]);
      look(place[predicted] + 0.5 - size / zoom / 2, place[truth] + 0.5 - size / zoom / 2);
      canvas.scrollIntoView({ block: "nearest" });
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.addEventListener("beforeprint", () => { document.documentElement.dataset.printing = ""; draw(); });
  window.addEventListener("afterprint", () => { delete document.documentElement.dataset.printing; draw(); });
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(canvas.parentElement);
  reorder();
}
