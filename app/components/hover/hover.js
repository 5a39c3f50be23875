// An address below the path that the app is served at, which its own scripts know.
function below(address) {
  const script = [...document.scripts].map((one) => one.src).find((src) => src.includes("/static/js/"));
  return script ? new URL(`../..${address}`, script).href : address;
}

export default function ({ parentElement, data }) {
  const picture = parentElement.querySelector("#picture");
  const name = parentElement.querySelector("#name");
  const perSheet = data.columns * data.columns;
  let chart = null;
  const show = (event) => {
    const row = event.points?.[0]?.customdata;
    const sheet = data.sheets[Math.floor(row / perSheet)];
    if (row === undefined || sheet === undefined) return;
    const cell = row % perSheet, last = data.columns - 1;
    picture.style.backgroundImage = `url("${below(sheet)}")`;
    picture.style.backgroundSize = `${data.columns * 100}%`;
    picture.style.backgroundPosition =
      `${(100 * (cell % data.columns)) / last}% ${(100 * Math.floor(cell / data.columns)) / last}%`;
    picture.setAttribute("aria-label", data.names[row]);
    name.textContent = data.names[row];
  };
  // The chart may be drawn after this, and drawn anew.
  const attach = () => {
    const found = document.querySelector(`.st-key-${data.chart} .js-plotly-plot`);
    if (!found?.on || found === chart) return;
    chart?.removeListener?.("plotly_hover", show);
    chart = found;
    chart.on("plotly_hover", show);
    parentElement.querySelector("#root").dataset.attached = "true";
  };
  attach();
  const timer = setInterval(attach, 400);
  return () => {
    clearInterval(timer);
    chart?.removeListener?.("plotly_hover", show);
  };
}
