// The canvas: panels that look together, what is chosen on them, and what Python hears of it.
//
// Hovering stays in the browser. What leaves: `picked` (a patch, as "panel:row:column", or "clear")
// `look` (as in 7_look.js) and `prompts` ({points: [[row, column, sign], …], box: [top, left, bottom, right] or null, painted: runs
// of labels, number}).

const PICK_MS = 250; // held arrow keys send their last patch only

// Panels side by side on a wide screen.
function columnsFor(count) {
  if (count === 4) return 2;
  return count < 4 ? count : count < 7 ? 3 : 4;
}

class Canvas extends Toolbar {
  constructor(place) {
    super();
    this.find = (id) => place.querySelector(`#${id}`);
    this.board = this.find("board");
    this.lines = new Lines(this.find("lines"), this.board);
    this.panels = [];
    this.cursor = null;
    this.picked = null;
    this.aborter = new AbortController();
    this.look = new Look(this);
    this.observer = new ResizeObserver(() => this.moved());
    this.observer.observe(this.board);
    this.buttons();
  }

  update({ data, setTriggerValue }) {
    this.data = data;
    this.trigger = setTriggerValue;
    this.colours = coloursOf(data.colormap);
    this.opacity = data.opacity;
    if (!data.maps) this.wipe = data.wipe ? Number(this.find("slider").value) : null;
    while (this.panels.length > data.panels.length) this.panels.pop().root.remove();
    while (this.panels.length < data.panels.length) {
      const panel = new Panel(this, this.panels.length);
      this.panels.push(panel);
      this.find("panels").append(panel.root);
      this.listenTo(panel);
    }
    this.columns = columnsFor(this.panels.length);
    if (!data.maps) this.find("panels").style.setProperty("--columns", this.columns);
    this.find("panels").classList.toggle("many", this.panels.length > 4);
    this.panels.forEach((panel, number) => {
      panel.update(data.panels[number]);
      panel.fit();
      if (!data.maps) panel.describe(data.panels[number].alt);
    });
    this.setTools(data);
    this.lines.set(data.lines ?? []);
    this.adopt(data);
    if (!data.maps) this.find("wipe").hidden = !data.wipe;
    this.look.update(data.maps);
    if (!this.cursor || this.picked) this.hint(data.hint);
    this.show();
  }

  close() {
    clearTimeout(this.timer);
    if (this.telling) this.tell();
    this.look.close();
    cancelAnimationFrame(this.frame);
    this.aborter.abort();
    this.observer.disconnect();
  }

  buttons() {
    const on = (id, type, call) => this.find(id).addEventListener(type, call, { signal: this.aborter.signal });
    on("slider", "input", () => {
      this.wipe = Number(this.find("slider").value);
      for (const panel of this.panels) panel.clip();
    });
    on("closer", "click", () => this.panels.forEach((panel) => this.zoomAt(panel, 1.5)));
    on("wider", "click", () => this.panels.forEach((panel) => this.zoomAt(panel, 1 / 1.5)));
    on("clear", "click", () => this.clear(this.panels[0]));
    on("undo", "click", () => this.undo());
    on("redo", "click", () => this.redo());
    for (const tool of TOOLS) on(tool, "click", () => this.setTool(tool));
    for (const key of this.find("keys").querySelectorAll("button")) {
      key.addEventListener("click", () => {
        const panel = this.cursor?.panel ?? this.panels[0];
        this.step(panel, this.cursor?.patch ?? this.startOf(panel), key.dataset.step.split(",").map(Number));
      }, { signal: this.aborter.signal });
    }
  }

  // A panel's photo is there, and what follows its edges can be drawn.
  photoCame(panel) {
    if (panel !== this.panels[0]) return;
    this.find("before").firstChild.src = panel.photo.src;
    this.find("before").firstChild.alt = panel.data.alt;
    if (!this.look.on) return;
    panel.thumbnails.forEach((address, i) => this.board.style.setProperty(["--photo", "--greys"][i], `url(${address})`));
    this.look.draw();
  }

  // A panel's features came: what is pointed at can be compared now.
  arrived() {
    this.count();
    if (this.cursor) this.point(this.cursor.panel, this.cursor.patch, true);
  }

  // How many panels can compare.
  count() {
    this.board.dataset.ready = this.panels.filter((one) => one.features).length;
  }

  // Look at a patch; pictures are drawn once a frame at most. A panel whose patch was just picked
  // shows what that brought until the pointer leaves it.
  point(panel, patch, again = false) {
    if (this.picked === panel) return this.hover(panel, patch);
    if (this.brushing || this.tool === "fill") {
      this.readout(`Row ${patch[0]}, column ${patch[1]}`);
      return this.hover(panel, patch);
    }
    const same = this.cursor?.panel === panel && this.cursor.patch.join() === patch.join();
    if (same && !again) return;
    this.cursor = { panel, patch };
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      if (this.cursor) this.compare();
    });
  }

  // The patch under the cursor framed, and nothing compared.
  hover(panel, patch) {
    this.cursor = { panel, patch };
    this.show();
  }

  // Similarity with the patch under the cursor, in every panel that has features.
  compare() {
    const { panel, patch: [row, column] } = this.cursor;
    const { columns } = panel.data, told = [], others = [];
    const vector = panel.features?.of(row * columns + column);
    panel.best = null;
    for (const one of this.panels) {
      const asked = this.data.link === "position" ? this.placed(one, panel, row, column) : vector;
      if (!one.features || !asked || asked.length !== one.features.width) continue;
      if (this.data.link === null && one !== panel) continue;
      const cosines = one.features.compare(asked), { low } = one.showHeat(cosines);
      if (one !== panel && this.data.link === "match") {
        const best = indexOfLargest(cosines);
        one.best = [Math.floor(best / one.data.columns), best % one.data.columns];
        others.push({ place: one.best, cosine: cosines[best].toFixed(2) });
      } else if (one === panel) told.push(`cosines from ${low.toFixed(2)} to 1`);
    }
    if (others.length === 1) {
      const [{ place, cosine }] = others;
      told.push(`best match row ${place[0]}, column ${place[1]}, cosine ${cosine}`);
    } else if (others.length) told.push(`best of the others ${others.map((one) => one.cosine).join(", ")}`);
    this.board.dataset.compared = Number(this.board.dataset.compared ?? 0) + 1;
    this.readout(`Row ${row}, column ${column}${told.length ? `: ${told.join("; ")}` : ""}`);
    this.show();
  }

  // The feature at the same place of the photo as the cursor's, in a panel with another grid.
  placed(one, panel, row, column) {
    const at = one === panel ? [row, column] : [
      Math.floor(((row + 0.5) / panel.data.rows) * one.data.rows),
      Math.floor(((column + 0.5) / panel.data.columns) * one.data.columns),
    ];
    one.best = one === panel ? null : at;
    return one.features?.of(at[0] * one.data.columns + at[1]);
  }

  leave(panel) {
    panel.showRing(null);
    if (this.picked === panel) this.picked = null;
    if (this.cursor?.panel !== panel) return;
    this.cursor = null;
    for (const one of this.panels) {
      one.best = null;
      one.rest();
    }
    this.hint(this.data.hint);
    this.show();
  }

  // A click, or Enter, on a patch.
  click(panel, patch, other) {
    if (this.brushing) {
      this.end();
      this.begin(panel.cellOf(patch), other);
      return this.end();
    }
    if (this.tool === "pick") {
      if (!this.data.map_on_pick) this.point(panel, patch);
      return this.pick(panel, patch);
    }
    this.point(panel, patch);
    if (this.tool === "box") return this.setCorner(patch);
    if (this.tool === "fill") return this.boxed(patch, patch);
    this.setPoint(patch, (this.tool === "minus") !== other ? -1 : 1);
  }

  pick(panel, patch) {
    if (!this.data.picks) return;
    clearTimeout(this.timer);
    if (this.data.map_on_pick) {
      this.hover(panel, patch);
      cancelAnimationFrame(this.frame);
      this.frame = 0;
      this.picked = panel;
      for (const one of this.panels) one.rest();
    }
    this.trigger("picked", `${panel.number}:${patch[0]}:${patch[1]}`);
  }

  pickLater(panel, patch) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pick(panel, patch), PICK_MS);
  }

  clear(panel) {
    this.end();
    this.leave(panel);
    this.corner = this.drawn = null;
    if (this.edits && this.holds) this.clearAll();
    clearTimeout(this.timer);
    if (this.data.picks && this.data.chosen) this.trigger("picked", "clear");
  }

  // Marks on every panel, and the lines between them.
  show() {
    const { chosen } = this.data, { cursor } = this;
    for (const panel of this.panels) {
      const marks = [];
      const box = this.drawn ?? this.box;
      if (box && panel.number === 0) {
        const [row, column, bottom, right] = box;
        marks.push({ row, column, height: bottom - row, width: right - column, kind: "box" });
      }
      if (panel.number === 0) {
        for (const [row, column, sign] of this.points) {
          marks.push({ row, column, kind: sign > 0 ? "plus" : "minus", text: sign > 0 ? "+" : "−" });
        }
      }
      if (chosen?.panel === panel.number) marks.push({ row: chosen.row, column: chosen.column, kind: "chosen" });
      if (panel.best) marks.push({ row: panel.best[0], column: panel.best[1], kind: "best" });
      if (cursor?.panel === panel && !this.brushing) marks.push({ row: cursor.patch[0], column: cursor.patch[1], kind: "hover" });
      panel.mark(marks);
    }
    this.find("clear").hidden = !(chosen || this.holds);
    this.find("undo").disabled = !this.history.done.length;
    this.find("redo").hidden = !this.history.undone.length;
    this.moved();
  }

  // Panels changed their place or zoom: lines follow.
  moved() {
    if (!this.data) return;
    const { cursor } = this;
    this.lines.draw(this.panels, cursor?.panel.number ?? null, cursor?.patch ?? null);
  }

  readout(text) {
    this.find("readout").textContent = text;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => this.say(text), 400); // for a screen reader, when the cursor rests
  }

  hint(text) {
    this.find("readout").textContent = text;
  }

  say(text) {
    this.find("said").textContent = text;
  }
}
