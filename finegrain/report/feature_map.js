// Tell the image nearest to the pointer on the feature map, and show where the others of its class lie.
{
  const map = document.getElementById("map");
  const { readings, names } = map ? JSON.parse(document.getElementById("map-data").textContent) : {};
  const dots = map ? [...map.querySelectorAll("circle")] : [];
  const readout = document.getElementById("map-readout");
  const resting = readout?.textContent;

  function tell(chosen) {
    map.classList.toggle("told", chosen !== null);
    dots.forEach((dot, at) => {
      dot.classList.toggle("kin", chosen !== null && readings[at][1] === readings[chosen][1]);
      dot.classList.toggle("chosen", at === chosen);
    });
    if (chosen === null) {
      readout.textContent = resting;
      return;
    }
    const [path, label, predicted, probability] = readings[chosen];
    const verdict = label === predicted ? "named right" : `taken for ${names[predicted]}`;
    readout.textContent = `${names[label]}, ${verdict} (${(100 * probability).toFixed(1)} %): ${path}`;
  }

  function nearest(event) {
    const box = map.getBoundingClientRect();
    const unit = map.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
    let [best, least] = [null, 24 ** 2];
    dots.forEach((dot, at) => {
      const distance = (dot.cx.baseVal.value - x) ** 2 + (dot.cy.baseVal.value - y) ** 2;
      if (distance < least) [best, least] = [at, distance];
    });
    return best;
  }

  map?.addEventListener("pointermove", (event) => tell(nearest(event)));
  map?.addEventListener("pointerdown", (event) => tell(nearest(event)));
  map?.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") tell(null); });
}
