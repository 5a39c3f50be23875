// Mouse, touch, pen and keyboard on the panels.

const STILL_PX = 5; // a pointer that moved less has clicked
const SWIPE_PX = 45, SWIPE_MS = 500;
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
      if (pointers.size > 1) { // two fingers move the photo
        this.cancel();
        return void (start = null);
      }
      if (this.brushing) {
        event.preventDefault();
        frame.focus({ preventScroll: true });
        this.point(panel, panel.under(event.clientX, event.clientY));
        return this.begin(panel.cellAt(event), event.button === 2 || event.button === 5 || event.shiftKey);
      }
      const patch = panel.under(event.clientX, event.clientY);
      start = { x: event.clientX, y: event.clientY, zoom: { ...panel.zoom }, patch, moved: false, at: event.timeStamp };
      if (event.pointerType === "touch") this.point(panel, patch);
    });
    on("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (before && pointers.size === 2) this.pinch(panel, pointers, event, before);
      if (before) pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.brushing) return this.brush(panel, event, pointers.size);
      if (start && Math.hypot(event.clientX - start.x, event.clientY - start.y) > STILL_PX) start.moved = true;
      const patch = panel.under(event.clientX, event.clientY);
      const corner = (start?.moved && start.patch) || this.corner;
      if (this.boxing && corner) return this.stretch(corner, patch);
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
        if (this.brushing && !this.pen) return type === "pointercancel" ? this.cancel() : this.end();
        if (!gesture || type === "pointercancel") return this.stretch(null);
        const patch = panel.under(event.clientX, event.clientY);
        if (this.swiped(panel, event, gesture)) return;
        if (gesture.moved) {
          if (this.boxing) this.boxed(gesture.patch, patch);
          return;
        }
        this.click(panel, patch, event.button === 2 || event.shiftKey);
      });
    }
    on("pointerleave", (event) => event.pointerType !== "touch" && !start && !this.stroke && this.leave(panel));
    on("contextmenu", (event) => this.edits && event.preventDefault());
    on("wheel", (event) => this.wheel(panel, event), { passive: false });
    on("keydown", (event) => this.key(panel, event));
    on("blur", () => {
      if (this.pen) this.end();
      if (this.cursor?.panel === panel) this.leave(panel);
    });
  }

  // A quick stroke of a finger along the picture leads to the next head, or the one before.
  swiped(panel, event, { x, y, at, moved }) {
    const right = event.clientX - x, down = event.clientY - y;
    const quick = event.pointerType === "touch" && moved && event.timeStamp - at < SWIPE_MS;
    if (!quick || !this.look.on || this.tool !== "pick" || panel.zoom.scale > 1) return false;
    if (Math.abs(right) < SWIPE_PX || Math.abs(right) < 2 * Math.abs(down)) return false;
    this.leave(panel);
    this.look.step(right < 0 ? 1 : -1);
    return true;
  }

  // The brush goes where a pointer went; with two of them the photo moves.
  brush(panel, event, count) {
    if (this.stroke && !this.pen && count === 1) {
      for (const place of places(event, (step) => panel.cellAt(step))) this.extend(place);
    }
    if (event.pointerType !== "touch") this.ringAt(panel, { x: event.clientX, y: event.clientY });
    this.point(panel, panel.under(event.clientX, event.clientY));
  }

  ringAt(panel, place) {
    panel.showRing(place, Number(this.find("size").value), this.tool === "erase");
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
    if (event.altKey) return;
    const call = event.ctrlKey || event.metaKey ? this.historyKey(event) : this.plainKey(panel, event);
    if (!call) return;
    call();
    event.preventDefault();
    event.stopPropagation(); // Streamlit has shortcuts of its own
  }

  historyKey(event) {
    const key = event.key.toLowerCase();
    if (!this.edits || !"zy".includes(key)) return null;
    return () => (key === "y" || event.shiftKey ? this.redo() : this.undo());
  }

  plainKey(panel, event) {
    const at = this.cursor?.panel === panel ? this.cursor.patch : this.startOf(panel);
    const step = ARROWS[event.key];
    if (step) return () => this.step(panel, at, step);
    if (this.look.on && /^\d$/.test(event.key)) return () => this.look.digit(event);
    const calls = {
      Enter: () => this.click(panel, at, event.shiftKey),
      " ": () => (this.brushing ? this.togglePen(panel, at, event.shiftKey) : this.click(panel, at, event.shiftKey)),
      Escape: () => this.clear(panel),
      "+": () => this.zoomAt(panel, 1.5),
      "=": () => this.zoomAt(panel, 1.5),
      "-": () => this.zoomAt(panel, 1 / 1.5),
      0: () => panel.zoomTo(1),
    };
    const brushes = {
      b: () => this.nextBrush(),
      e: () => this.setTool("erase"),
      "[": () => this.resizeBrush(1 / 1.25),
      "]": () => this.resizeBrush(1.25),
    };
    return calls[event.key] ?? (this.data.brushes.length ? brushes[event.key.toLowerCase()] : undefined);
  }

  // Down, the brush paints where arrow keys lead it.
  togglePen(panel, at, erase) {
    if (this.pen) return this.end();
    this.begin(panel.cellOf(at), erase);
    this.pen = true;
    this.point(panel, at);
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
    if (this.pen) this.extend(panel.cellOf(next));
    if (this.corner) this.stretch(this.corner, next);
    if (this.brushing) this.ringAt(panel, panel.middle(...next));
    if (this.tool === "pick" && this.data.picks && this.data.follow_picks) this.pickLater(panel, next);
  }

  zoomAt(panel, factor) {
    const { x, y } = panel.middle(...(this.cursor?.panel === panel ? this.cursor.patch : this.startOf(panel)));
    panel.zoomTo(panel.zoom.scale * factor, x, y);
  }
}
