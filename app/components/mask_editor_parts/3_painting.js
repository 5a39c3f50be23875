// Objects with their masks, strokes on them, and a history that undoes both. What is said and saved is
// left to `say` and `touched`.

const COLOURS = ["#ff8c00", "#56b4e9", "#00b386", "#f0e442", "#cc79a7", "#b68cff", "#ff5a4f", "#9be564", "#ffffff"];
const MAX_UNDO = 100;
const OPACITY = { chosen: 0.5, other: 0.3 };

class Painting extends View {
  get object() {
    return this.objects[this.chosen];
  }

  act(step) {
    step.redo();
    this.done.push(step);
    if (this.done.length > MAX_UNDO) this.done.shift();
    this.undone = [];
    this.showHistory();
    this.touched();
  }

  undo() {
    this.move(this.done, this.undone, "undo");
  }

  redo() {
    this.move(this.undone, this.done, "redo");
  }

  move(from, to, way) {
    const step = this.stroke ? undefined : from.pop();
    if (!step) return;
    step[way]();
    to.push(step);
    this.showHistory();
    this.touched();
  }

  showHistory() {
    this.find("undo").disabled = !this.done.length;
    this.find("redo").disabled = !this.undone.length;
  }

  setObjects(objects, chosen) {
    this.objects = objects;
    this.chosen = Math.max(0, Math.min(chosen, objects.length - 1));
    this.listObjects();
    this.draw();
  }

  addObject() {
    if (this.objects.length >= COLOURS.length) return this.say(`At most ${COLOURS.length} objects.`);
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
        dot.style.background = COLOURS[number];
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
    this.stroke = { object: this.object, before: this.object.mask.slice(), last: point, value: erase ? 0 : 1, box: null };
    this.extend(point);
  }

  extend(point) {
    const { object, last, value } = this.stroke;
    const radius = this.radius;
    const box = clip(around([last, point], radius + 1), this.width, this.height);
    paintLine(object.mask, this.width, box, last, point, radius, value);
    this.stroke.box = this.stroke.box ? union(this.stroke.box, box) : box;
    this.stroke.last = point;
    this.draw(box);
  }

  end() {
    if (!this.stroke) return;
    const { object, before, box } = this.stroke;
    this.stroke = null;
    const [old, now] = [cut(before, this.width, box), cut(object.mask, this.width, box)];
    if (old.every((value, i) => value === now[i])) return;
    const set = (part) => () => {
      paste(object.mask, this.width, box, part);
      this.draw(box);
    };
    this.act({ redo: set(now), undo: set(old) });
  }

  cancel() {
    if (!this.stroke) return;
    const { object, before } = this.stroke;
    object.mask.set(before);
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
        tint(picture.data, object.mask, this.width, this.height, grown, rgb(COLOURS[number]), opacity, edge);
      });
    }
    this.context.putImageData(picture, grown.left, grown.top);
  }
}
