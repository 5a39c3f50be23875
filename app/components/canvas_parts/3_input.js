// Mouse, touch, pen and keyboard on the panels.

const STILL_PX = 5; // a pointer that moved less has clicked
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

class Input {
  listenTo(panel) {
    const { frame } = panel, pointers = new Map();
    let start = null; // of the gesture of one pointer
    const on = (type, call, options = {}) =>
      frame.addEventListener(type, call, { ...options, signal: this.aborter.signal });
    on("pointerdown", (event) => {
      if (event.button === 1) return;
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      frame.setPointerCapture?.(event.pointerId);
      if (pointers.size > 1) return void (start = null);
      const patch = panel.under(event.clientX, event.clientY);
      start = { x: event.clientX, y: event.clientY, zoom: { ...panel.zoom }, patch, moved: false };
      if (event.pointerType === "touch") this.point(panel, patch);
    });
    on("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (before && pointers.size === 2) this.pinch(panel, pointers, event, before);
      if (before) pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (start && Math.hypot(event.clientX - start.x, event.clientY - start.y) > STILL_PX) start.moved = true;
      const patch = panel.under(event.clientX, event.clientY);
      const corner = (start?.moved && start.patch) || this.corner;
      if (this.tool === "box" && corner) return this.stretch(panel, corner, patch);
      if (start?.moved && panel.zoom.scale > 1) {
        return panel.pan(start.zoom.x + event.clientX - start.x, start.zoom.y + event.clientY - start.y);
      }
      this.point(panel, patch);
    });
    for (const type of ["pointerup", "pointercancel"]) {
      on(type, (event) => {
        pointers.delete(event.pointerId);
        const gesture = start;
        start = null;
        if (!gesture || type === "pointercancel") return this.stretch(panel, null);
        const patch = panel.under(event.clientX, event.clientY);
        if (gesture.moved) {
          if (this.tool === "box") this.boxed(panel, gesture.patch, patch);
          return;
        }
        this.click(panel, patch, event.button === 2 || event.shiftKey);
      });
    }
    on("pointerleave", (event) => event.pointerType !== "touch" && !start && this.leave(panel));
    on("contextmenu", (event) => this.tools.length > 1 && event.preventDefault());
    on("wheel", (event) => this.wheel(panel, event), { passive: false });
    on("keydown", (event) => this.key(panel, event));
    on("blur", () => this.cursor?.panel === panel && this.leave(panel));
  }

  pinch(panel, pointers, event, before) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const span = (place) => Math.max(1, Math.hypot(place.x - other.x, place.y - other.y));
    const now = { x: event.clientX, y: event.clientY };
    const scale = (panel.zoom.scale * span(now)) / span(before);
    panel.zoomTo(scale, (now.x + other.x) / 2, (now.y + other.y) / 2);
    panel.pan(panel.zoom.x + (now.x - before.x) / 2, panel.zoom.y + (now.y - before.y) / 2);
  }

  wheel(panel, event) {
    if (event.ctrlKey || event.metaKey) {
      panel.zoomTo(panel.zoom.scale * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    } else if (panel.zoom.scale > 1) {
      panel.pan(panel.zoom.x - event.deltaX, panel.zoom.y - event.deltaY);
    } else return;
    event.preventDefault();
  }

  key(panel, event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = this.cursor?.panel === panel ? this.cursor.patch : this.startOf(panel);
    const step = ARROWS[event.key];
    const calls = {
      Enter: () => this.click(panel, at, event.shiftKey),
      " ": () => this.click(panel, at, event.shiftKey),
      Escape: () => this.clear(panel),
      "+": () => this.zoomAt(panel, 1.5),
      "=": () => this.zoomAt(panel, 1.5),
      "-": () => this.zoomAt(panel, 1 / 1.5),
      0: () => panel.zoomTo(1),
    };
    const call = step ? () => this.step(panel, at, step) : calls[event.key];
    if (!call) return;
    call();
    event.preventDefault();
    event.stopPropagation(); // Streamlit has shortcuts of its own
  }

  startOf(panel) {
    const { chosen } = this.data, { rows, columns } = panel.data;
    if (chosen?.panel === panel.number) return [chosen.row, chosen.column];
    return [Math.floor(rows / 2), Math.floor(columns / 2)];
  }

  step(panel, [row, column], [down, right]) {
    const { rows, columns } = panel.data;
    const next = [
      Math.min(rows - 1, Math.max(0, row + down)),
      Math.min(columns - 1, Math.max(0, column + right)),
    ];
    if (this.picked === panel) this.picked = null;
    this.point(panel, next);
    if (this.corner) this.stretch(panel, this.corner, next);
    if (this.tool === "pick" && this.data.picks) this.pickLater(panel, next);
  }

  // A box from corner to corner, for those who do not drag: the first time one, then the other.
  setCorner(panel, patch) {
    const first = this.corner;
    this.corner = first ? null : patch;
    if (first) return this.boxed(panel, first, patch);
    this.stretch(panel, patch, patch);
    this.say(`Corner at row ${patch[0]}, column ${patch[1]}; choose the opposite one.`);
  }

  zoomAt(panel, factor) {
    const { x, y } = panel.middle(...(this.cursor?.panel === panel ? this.cursor.patch : this.startOf(panel)));
    panel.zoomTo(panel.zoom.scale * factor, x, y);
  }
}
