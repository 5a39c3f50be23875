// Objects with their masks, strokes on them, and a history that undoes both. What is said and saved is
// left to `say` and `touched`. `COLORS` are those of objects everywhere, put before these scripts.

const OPACITY = { chosen: 0.5, other: 0.3 };

class Painting extends View {
  get object() {
    return this.objects[this.chosen];
  }

  act(step) {
    this.history.act(step);
    this.showHistory();
    this.touched();
  }

  undo() {
    this.move("undo");
  }

  redo() {
    this.move("redo");
  }

  move(way) {
    if (this.stroke || !this.history[way]()) return;
    this.showHistory();
    this.touched();
  }

  showHistory() {
    this.find("undo").disabled = !this.history.done.length;
    this.find("redo").disabled = !this.history.undone.length;
  }

  setObjects(objects, chosen) {
    this.objects = objects;
    this.chosen = Math.max(0, Math.min(chosen, objects.length - 1));
    this.listObjects();
    this.draw();
  }

  addObject() {
    if (this.objects.length >= COLORS.length) return this.say(`At most ${COLORS.length} objects.`);
    const [before, chosen] = [this.objects, this.chosen];
    const id = Math.max(0, ...before.map((o) => o.id)) + 1;
    const added = { id, kind: this.object?.kind ?? 0, mask: new Uint8Array(this.width * this.height) };
    this.act({
      redo: () => this.setObjects([...before, added], before.length),
      undo: () => this.setObjects(before, chosen),
    });
    this.setTool(false);
  }

  removeObject() {
    if (!this.object) return;
    const [before, chosen] = [this.objects, this.chosen];
    const after = before.filter((_, number) => number !== chosen);
    this.act({ redo: () => this.setObjects(after, chosen), undo: () => this.setObjects(before, chosen) });
  }

  setKind(kind) {
    const object = this.object;
    if (!object || object.kind === kind) return;
    const before = object.kind;
    const set = (value) => () => {
      object.kind = value;
      this.listObjects();
    };
    this.act({ redo: set(kind), undo: set(before) });
  }

  choose(number) {
    if (number >= this.objects.length || this.stroke) return;
    this.chosen = number;
    this.listObjects();
    this.draw();
  }

  listObjects() {
    const bar = this.find("objects");
    const focused = bar.contains(bar.getRootNode().activeElement);
    bar.replaceChildren(
      ...this.objects.map((object, number) => {
        const button = document.createElement("button");
        button.type = "button";
        button.setAttribute("aria-pressed", number === this.chosen);
        button.title = `Object ${number + 1} (key ${number + 1})`;
        const dot = document.createElement("span");
        dot.className = "dot";
        dot.style.background = COLORS[number];
        button.append(dot, `${number + 1} ${this.kindName(object.kind)}`);
        button.addEventListener("click", () => this.choose(number));
        return button;
      }),
    );
    if (focused) bar.children[this.chosen]?.focus();
    this.kind.replaceChildren(
      ...this.classes.map((name, number) => new Option(name, number, false, number === this.object?.kind)),
    );
    this.kind.disabled = this.find("remove").disabled = !this.object;
  }

  kindName(kind) {
    return this.classes[kind] ?? `class ${kind + 1}`;
  }

  get radius() {
    return Math.max(0.5, (Number(this.size.value) / 2) * (this.width / this.canvas.getBoundingClientRect().width));
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.width,
      y: ((event.clientY - box.top) / box.height) * this.height,
    };
  }

  begin(point, erase) {
    if (!this.object) this.addObject();
    this.painted = this.object;
    this.stroke = new Stroke(this.object.mask, this.width, this.height, erase ? 0 : 1);
    this.extend(point);
  }

  extend(point) {
    this.draw(this.stroke.to(point, this.radius));
  }

  end() {
    if (!this.stroke) return;
    const change = this.stroke.change(), { mask } = this.painted;
    this.stroke = null;
    if (!change) return;
    const set = (part) => () => {
      paste(mask, this.width, change.box, part);
      this.draw(change.box);
    };
    this.act({ redo: set(change.now), undo: set(change.old) });
  }

  cancel() {
    if (!this.stroke) return;
    this.stroke.cancel();
    this.stroke = null;
    this.draw();
  }

  draw(box = { left: 0, top: 0, right: this.width, bottom: this.height }) {
    const edge = Math.max(1, Math.round(this.width / 900));
    const grown = clip(
      { left: box.left - edge, top: box.top - edge, right: box.right + edge, bottom: box.bottom + edge },
      this.width,
      this.height,
    );
    const [w, h] = [grown.right - grown.left, grown.bottom - grown.top];
    if (w <= 0 || h <= 0) return;
    const picture = this.context.createImageData(w, h);
    if (!this.hidden) {
      this.objects.forEach((object, number) => {
        const opacity = number === this.chosen ? OPACITY.chosen : OPACITY.other;
        tint(picture.data, object.mask, this.width, this.height, grown, rgb(COLORS[number]), opacity, edge);
      });
    }
    this.context.putImageData(picture, grown.left, grown.top);
  }
}
