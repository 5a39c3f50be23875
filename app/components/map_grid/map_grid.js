export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector("#grid");
  const rows = data.rows.length, columns = data.columns.length;
  const part = (index, count) => (count > 1 ? (100 * index) / (count - 1) : 0);
  const had = grid.contains(parentElement.activeElement ?? null) ? parentElement.activeElement : null;
  const focused = had ? Number(had.dataset.index) : -1;
  grid.style.gridTemplateColumns = `max-content repeat(${columns}, minmax(34px, 130px))`;
  grid.setAttribute("aria-label", data.label);
  const label = (text) => Object.assign(document.createElement("span"), { textContent: text });
  const buttons = [];
  const cells = [label("")];
  data.columns.forEach((name) => cells.push(label(name)));
  data.rows.forEach((name, row) => {
    cells.push(label(name));
    data.columns.forEach((column, index) => {
      const button = document.createElement("button");
      const chosen = row === data.chosen[0] && index === data.chosen[1];
      button.dataset.index = buttons.length;
      button.style.backgroundImage = `url(${data.sprite})`;
      button.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
      button.style.backgroundPosition = `${part(index, columns)}% ${part(row, rows)}%`;
      button.style.aspectRatio = data.aspect;
      button.title = data.titles[row][index];
      button.setAttribute("aria-label", data.titles[row][index]);
      button.setAttribute("aria-pressed", chosen);
      button.onclick = () => setTriggerValue("chosen", [row, index]);
      buttons.push(button);
      cells.push(button);
    });
  });
  // One tab stop; arrow keys go from map to map.
  const start = focused >= 0 ? focused : Math.max(0, data.chosen[0] * columns + Math.max(0, data.chosen[1]));
  buttons.forEach((button, index) => (button.tabIndex = index === start ? 0 : -1));
  const steps = { ArrowUp: -columns, ArrowDown: columns, ArrowLeft: -1, ArrowRight: 1 };
  grid.onkeydown = (event) => {
    const index = Number(event.target.dataset.index);
    const next = buttons[index + steps[event.key]];
    if (!(event.key in steps) || !next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
  grid.replaceChildren(...cells);
  if (focused >= 0) buttons[focused]?.focus();
}
