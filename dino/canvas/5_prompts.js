// Points, a box and paint on the first panel; their history; and telling Python of them.
//
// Each message has a number, and Python gives back the number it heard last. Only the answer to the last
// one may change what is shown here: others are about what was, while a hand goes on painting.

const TELL_MS = 60;

class Prompting extends Input {
  constructor() {
    super();
    Object.assign(this, { points: [], box: null, drawn: null, corner: null, stroke: null, pen: false });
    this.history = new History();
    this.number = null;
  }

  get paint() {
    return this.panels[0].paint;
  }

  get state() {
    return { points: this.points, box: this.box, painted: this.paint.runs };
  }

  get holds() {
    return this.points.length > 0 || this.box !== null || !this.paint.isEmpty;
  }

  // What Python holds; a change that came from elsewhere ends the history.
  adopt({ points, box, painted, paint_rows, paint_columns, brushes, heard }) {
    this.number ??= heard;
    if (heard !== this.number || this.stroke) return;
    this.paint.resize(paint_rows, paint_columns, brushes.map((brush) => brush.colour));
    if (JSON.stringify(this.state) === JSON.stringify({ points, box, painted })) return this.paint.draw();
    Object.assign(this, { points, box });
    this.paint.runs = painted;
    this.history.clear();
  }

  hold(points, box) {
    const before = [this.points, this.box];
    const set = ([points, box]) => () => Object.assign(this, { points, box });
    this.act({ redo: set([points, box]), undo: set(before) });
  }

  act(step) {
    this.history.act(step);
    this.changed();
  }

  undo() {
    if (!this.stroke && this.history.undo()) this.changed();
  }

  redo() {
    if (!this.stroke && this.history.redo()) this.changed();
  }

  changed() {
    this.number += 1;
    this.show();
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), TELL_MS);
  }

  tell() {
    clearTimeout(this.telling);
    this.telling = null;
    this.trigger("prompts", { ...this.state, number: this.number });
  }

  // A second click on a point takes it away.
  setPoint(patch, sign) {
    const kept = this.points.filter(([row, column]) => row !== patch[0] || column !== patch[1]);
    if (kept.length < this.points.length) return this.hold(kept, this.box);
    if (kept.length >= this.data.most_points) {
      return this.hint(`At most ${this.data.most_points} points; ${this.data.brushes.length ? "paint" : "undo some"}.`);
    }
    this.hold([...kept, [...patch, sign]], this.box);
  }

  stretch(from, to) {
    this.drawn = from ? this.spanned(from, to) : null;
    this.show();
  }

  // A box from corner to corner, for those who do not drag: the first time one, then the other.
  setCorner(patch) {
    if (this.corner) return this.boxed(this.corner, patch);
    this.corner = patch;
    this.stretch(patch, patch);
    this.say(`Corner at row ${patch[0]}, column ${patch[1]}; choose the opposite one.`);
  }

  boxed(from, to) {
    const box = this.spanned(from, to);
    this.drawn = this.corner = null;
    if (this.tool === "fill") this.fill(box);
    else this.hold(this.points, box);
  }

  spanned([row, column], [toRow, toColumn]) {
    return [Math.min(row, toRow), Math.min(column, toColumn), Math.max(row, toRow) + 1, Math.max(column, toColumn) + 1];
  }

  // The patches of a box get the first brush's label.
  fill([top, left, bottom, right]) {
    const { rows, columns, labels } = this.paint, panel = this.panels[0].data;
    const [down, across] = [rows / panel.rows, columns / panel.columns];
    const box = {
      left: Math.floor(left * across), right: Math.ceil(right * across),
      top: Math.floor(top * down), bottom: Math.ceil(bottom * down),
    };
    const old = cut(labels, columns, box);
    this.paintStep(box, old, new Uint8Array(old.length).fill(1));
  }

  paintStep(box, old, now) {
    const { paint } = this;
    const set = (part) => () => {
      paste(paint.labels, paint.columns, box, part);
      paint.draw(box);
    };
    this.act({ redo: set(now), undo: set(old) });
  }

  // Radius of the brush in cells; a small one still takes the cell below it.
  get radius() {
    const cell = this.panels[0].stage.getBoundingClientRect().width / this.paint.columns;
    return Math.max(Math.SQRT1_2 + 0.01, Number(this.find("size").value) / 2 / cell);
  }

  begin(point, erase) {
    this.end();
    const label = erase || this.tool === "erase" ? 0 : Number(this.tool.split(":")[1]) + 1;
    this.stroke = new Stroke(this.paint.labels, this.paint.columns, this.paint.rows, label);
    this.extend(point);
  }

  extend(point) {
    this.paint.draw(this.stroke.to(point, this.radius));
  }

  end() {
    if (!this.stroke) return;
    const change = this.stroke.change();
    this.stroke = null;
    this.pen = false;
    if (change) this.paintStep(change.box, change.old, change.now);
  }

  cancel() {
    if (!this.stroke) return;
    this.stroke.cancel();
    this.stroke = null;
    this.pen = false;
    this.paint.draw();
  }

  // Takes away all of it, in one step that can be undone.
  clearAll() {
    const { paint } = this, old = paint.labels.slice(), [points, box] = [this.points, this.box];
    const set = (labels, points, box) => () => {
      paint.labels.set(labels);
      paint.draw();
      Object.assign(this, { points, box });
    };
    this.act({ redo: set(new Uint8Array(old.length), [], null), undo: set(old, points, box) });
  }
}
