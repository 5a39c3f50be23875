// The tools above the panels: which there are, which is in hand, and the size of the brush.

const TOOLS = ["pick", "plus", "minus", "box", "fill", "erase"]; // and "brush:N"

class Toolbar extends Prompting {
  constructor() {
    super();
    this.tools = ["pick"];
    this.tool = "pick";
  }

  setTools({ tools, brushes }) {
    this.tools = [...tools, ...brushes.map((_, number) => `brush:${number}`), ...(brushes.length ? ["erase"] : [])];
    for (const tool of TOOLS) this.find(tool).hidden = this.tools.length < 2 || !this.tools.includes(tool);
    this.find("undo").hidden = !this.edits;
    this.find("sizing").hidden = !brushes.length;
    this.find("brushes").replaceChildren(...brushes.map((brush, number) => {
      const button = document.createElement("button"), dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = brush.colour;
      button.dataset.tool = `brush:${number}`;
      button.title = brush.title;
      button.append(dot, brush.name);
      button.addEventListener("click", () => this.setTool(button.dataset.tool));
      return button;
    }));
    this.setTool(this.tools.includes(this.tool) ? this.tool : this.tools[0]);
  }

  setTool(tool) {
    if (tool !== this.tool) {
      this.cancel();
      this.corner = this.drawn = null;
    }
    this.tool = tool;
    for (const one of TOOLS) this.find(one).setAttribute("aria-pressed", one === tool);
    for (const one of this.find("brushes").children) one.setAttribute("aria-pressed", one.dataset.tool === tool);
    this.board.dataset.tool = this.brushing ? "brush" : tool;
  }

  // Something is drawn on the first panel, that Python hears of and that can be undone.
  get edits() {
    return this.tools.some((tool) => tool !== "pick");
  }

  get brushing() {
    return this.tool === "erase" || this.tool.startsWith("brush:");
  }

  // A drag makes a box.
  get boxing() {
    return this.tool === "box" || this.tool === "fill";
  }

  nextBrush() {
    const brushes = this.tools.filter((tool) => tool.startsWith("brush:"));
    this.setTool(brushes[(brushes.indexOf(this.tool) + 1) % brushes.length]);
  }

  resizeBrush(factor) {
    const size = this.find("size"), before = Number(size.value);
    size.value = factor > 1 ? Math.ceil(before * factor) : Math.floor(before * factor);
    this.hint(`Brush of ${size.value} px.`);
  }
}
