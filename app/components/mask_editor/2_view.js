// The photo on the page: its size, zoom, and the ring that shows the brush.

class View {
  fit() {
    if (!this.width) return;
    const most = Math.max(280, window.innerHeight * 0.62);
    const scale = Math.min(this.frame.clientWidth / this.width, most / this.height);
    this.stage.style.width = `${this.width * scale}px`;
    this.stage.style.height = `${this.height * scale}px`;
    this.frame.style.height = `${this.height * scale}px`;
    this.applyZoom();
  }

  applyZoom() {
    const { scale, x, y } = this.zoom;
    this.stage.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.ring.hidden = true;
  }

  zoomAt(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const scale = Math.min(12, Math.max(1, this.zoom.scale * factor));
    const change = scale / this.zoom.scale;
    this.zoom.x += (clientX - box.left) * (1 - change);
    this.zoom.y += (clientY - box.top) * (1 - change);
    this.zoom.scale = scale;
    if (scale === 1) Object.assign(this.zoom, { x: 0, y: 0 });
    this.applyZoom();
  }

  zoomBy(factor) {
    const box = this.frame.getBoundingClientRect();
    this.zoomAt(factor, box.left + box.width / 2, box.top + box.height / 2);
  }

  showRing(clientX, clientY) {
    const box = this.frame.getBoundingClientRect();
    const size = Number(this.size.value);
    this.ring.hidden = false;
    this.ring.style.width = this.ring.style.height = `${size}px`;
    this.ring.style.left = `${clientX - box.left - size / 2}px`;
    this.ring.style.top = `${clientY - box.top - size / 2}px`;
    this.ring.classList.toggle("erasing", this.erasing);
  }

  showCursor() {
    const box = this.canvas.getBoundingClientRect();
    this.showRing(box.left + (this.cursor.x / this.width) * box.width, box.top + (this.cursor.y / this.height) * box.height);
  }

  setTool(erasing) {
    this.erasing = erasing;
    this.find("brush").setAttribute("aria-pressed", !erasing);
    this.find("erase").setAttribute("aria-pressed", erasing);
  }

  resizeBrush(factor) {
    const size = Number(this.size.value);
    this.size.value = factor > 1 ? Math.ceil(size * factor) : Math.floor(size * factor);
    this.say(`Brush ${this.size.value} px.`);
  }

  toggleHidden() {
    this.hidden = !this.hidden;
    this.find("hide").setAttribute("aria-pressed", this.hidden);
    this.draw();
  }
}
