// Read the values of the nearest epoch off a line chart.
{
  const island = document.getElementById("chart-data");
  const charts = island ? JSON.parse(island.textContent) : [];
  for (const svg of document.querySelectorAll("svg[data-chart]")) {
    const chart = charts[svg.dataset.chart];
    const cursor = svg.querySelector(".cursor");
    const readout = document.getElementById(`chart-readout-${svg.dataset.chart}`);
    const resting = readout.textContent;
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const distances = chart.x.map((at) => Math.abs(at - x));
      const nearest = distances.indexOf(Math.min(...distances));
      cursor.setAttribute("x1", chart.x[nearest]);
      cursor.setAttribute("x2", chart.x[nearest]);
      cursor.setAttribute("visibility", "visible");
      readout.textContent = chart.readings[nearest];
    });
    svg.addEventListener("pointerleave", () => {
      cursor.setAttribute("visibility", "hidden");
      readout.textContent = resting;
    });
  }
}
