// Mouse, touch, pen and keyboard.

class Input extends Painting {
  listen() {
    const on = (target, type, call, options = {}) =>
      target.addEventListener(type, call, { ...options, signal: this.aborter.signal });
    const click = (id, call) => on(this.find(id), "click", call);
    for (const action of ["accept", "reject", "next", "previous"]) click(action, () => this.decide(action));
    click("brush", () => this.setTool(false));
    click("erase", () => this.setTool(true));
    click("undo", () => this.undo());
    click("redo", () => this.redo());
    click("closer", () => this.zoomBy(1.5));
    click("wider", () => this.zoomBy(1 / 1.5));
    click("hide", () => this.toggleHidden());
    click("add", () => this.addObject());
    click("remove", () => this.removeObject());
    on(this.kind, "change", () => this.setKind(Number(this.kind.value)));
    on(this.canvas, "pointerdown", (e) => this.pointerDown(e));
    on(this.canvas, "pointermove", (e) => this.pointerMove(e));
    for (const type of ["pointerup", "pointercancel"]) on(this.canvas, type, (e) => this.pointerUp(e));
    on(this.canvas, "pointerleave", () => !this.stroke && (this.ring.hidden = true));
    on(this.canvas, "contextmenu", (e) => e.preventDefault());
    on(this.frame, "wheel", (e) => this.wheel(e), { passive: false });
    // Before Streamlit's own shortcuts, one of which is R.
    on(window, "keydown", (e) => this.key(e), { capture: true });
    on(window, "pagehide", () => this.flush());
    on(document, "visibilitychange", () => document.hidden && this.flush());
    on(document, "pointerdown", (e) => e.composedPath().includes(this.frame) || this.flush(), { capture: true });
  }

  pointerDown(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture?.(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pointers.size > 1) return this.cancel(); // two fingers move the photo
    if (event.button === 1) return;
    this.begin(this.at(event), this.erasing || event.button === 2 || event.button === 5);
  }

  pointerMove(event) {
    const before = this.pointers.get(event.pointerId);
    if (before && (this.pointers.size > 1 || !this.stroke)) this.drag(event, before);
    if (before) this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.stroke && this.pointers.size === 1) {
      for (const place of places(event, (step) => this.at(step))) this.extend(place);
    }
    if (event.pointerType !== "touch") this.showRing(event.clientX, event.clientY);
  }

  pointerUp(event) {
    this.pointers.delete(event.pointerId);
    if (event.type === "pointercancel") this.cancel();
    else this.end();
  }

  drag(event, before) {
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    const now = { x: event.clientX, y: event.clientY };
    if (others.length === 1) {
      const [other] = others;
      const factor = distance(now, other) / Math.max(1, distance(before, other));
      this.zoomAt(factor, (now.x + other.x) / 2, (now.y + other.y) / 2);
    }
    if (this.zoom.scale > 1) {
      this.zoom.x += (now.x - before.x) / (others.length + 1);
      this.zoom.y += (now.y - before.y) / (others.length + 1);
      this.applyZoom();
    }
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    } else if (this.zoom.scale > 1) {
      event.preventDefault();
      this.zoom.x -= event.deltaX;
      this.zoom.y -= event.deltaY;
      this.applyZoom();
    }
  }

  key(event) {
    const target = event.composedPath()[0];
    const field = "input:not([type=range]), textarea, select, [contenteditable=true], [role=combobox], [role=listbox], [role=dialog] *";
    if (this.visit === null || event.altKey || target.matches?.(field)) return;
    const arrows = "[type=range], [role=slider], [role=radio], [role=tab], [role=menuitem], [role=spinbutton]";
    if (event.key.startsWith("Arrow") && target.matches?.(arrows)) return;
    const call = this.shortcut(event, target);
    if (!call) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    call();
  }

  shortcut(event, target) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") return () => (event.shiftKey ? this.redo() : this.undo());
      return key === "y" ? () => this.redo() : null;
    }
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step && event.shiftKey) return () => this.moveCursor(step);
    if (key === " " && target === this.canvas) return () => this.togglePen();
    if (/^[1-9]$/.test(key)) return () => this.choose(Number(key) - 1);
    const verdict = { a: "accept", r: "reject", n: "next", p: "previous", ArrowRight: "next", ArrowLeft: "previous" }[key];
    if (verdict) return event.repeat ? () => {} : () => this.decide(verdict);
    return {
      b: () => this.setTool(false),
      e: () => this.setTool(true),
      "[": () => this.resizeBrush(1 / 1.25),
      "]": () => this.resizeBrush(1.25),
      o: () => this.addObject(),
      Delete: () => this.removeObject(),
      h: () => this.toggleHidden(),
      "+": () => this.zoomBy(1.5),
      "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      0: () => this.zoomBy(0),
    }[key];
  }

  moveCursor([x, y]) {
    const step = Math.max(2, this.radius / 2);
    this.cursor.x = Math.min(this.width, Math.max(0, this.cursor.x + x * step));
    this.cursor.y = Math.min(this.height, Math.max(0, this.cursor.y + y * step));
    if (this.stroke && this.cursor.down) this.extend({ x: this.cursor.x, y: this.cursor.y });
    this.showCursor();
  }

  togglePen() {
    this.cursor.down = !this.stroke;
    if (this.cursor.down) this.begin({ x: this.cursor.x, y: this.cursor.y }, this.erasing);
    else this.end();
    this.showCursor();
    this.say(this.cursor.down ? "Pen down: Shift and arrows draw, Space lifts it." : "Pen up.");
  }
}
