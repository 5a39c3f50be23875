// One photo: its picture, the heat of similarity over it, marks, zoom.

const CLOSEST = 12; // times
const TALLEST = 0.72; // of the window

class Panel {
  constructor(canvas, number) {
    this.canvas = canvas;
    this.number = number;
    this.root = document.createElement("figure");
    this.root.innerHTML = `
      <div class="frame" tabindex="0" role="application">
        <div class="stage"><img class="photo" alt=""><div class="over"><canvas class="greys" hidden></canvas>
          <canvas class="field" hidden></canvas></div><img class="map" alt="" hidden>
          <canvas class="heat" hidden></canvas><svg class="mask" preserveAspectRatio="none" hidden><path class="area"/>
          <path class="edge halo"/><path class="edge"/></svg>
          <canvas class="paint"></canvas><div class="marks"></div></div>
        <div class="stamp" hidden></div><div class="ring" hidden></div>
      </div><figcaption></figcaption>`;
    this.find = (name) => this.root.querySelector(`.${name}`);
    for (const name of ["frame", "stage", "photo", "over", "greys", "field", "map", "heat", "mask", "marks", "stamp", "ring"]) {
      this[name] = this.find(name);
    }
    this.caption = this.root.querySelector("figcaption");
    this.paint = new Paint(this.find("paint"));
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.features = null;
  }

  update(data) {
    const another = !this.data || this.data.photo !== data.photo;
    this.data = data;
    const { rows, columns } = data;
    if (another) this.showPhoto(data.photo);
    this.map.hidden = !data.map || !this.heat.hidden;
    if (data.map) this.map.src = data.map;
    this.clip();
    if (this.grid !== `${rows} ${columns}`) this.heat.hidden = true;
    this.grid = `${rows} ${columns}`;
    this.caption.textContent = data.caption ?? "";
    this.caption.hidden = !data.caption;
    this.load();
  }

  // A photo comes as bytes; greys and what maps follow are made of it once it is there.
  showPhoto(id) {
    this.zoomTo(1);
    this.hasPhoto = false;
    this.guides = null;
    this.field.hidden = true;
    arrived(id).then(async (bytes) => {
      if (this.data.photo !== id) return;
      const before = this.photo.src;
      this.photo.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      if (before) URL.revokeObjectURL(before);
      await this.photo.decode();
      if (this.data.photo !== id) return;
      this.hasPhoto = true;
      this.drawGreys();
      this.canvas.photoCame(this);
    });
  }

  drawGreys() {
    const { naturalWidth, naturalHeight } = this.photo, reduce = Math.min(1, FIELD_PX / Math.max(naturalWidth, naturalHeight));
    const [width, height] = [naturalWidth, naturalHeight].map((side) => Math.max(1, Math.round(side * reduce)));
    Object.assign(this.greys, { width, height });
    const context = this.greys.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(this.photo, 0, 0, width, height);
    const image = context.getImageData(0, 0, width, height), { data } = image;
    for (let i = 0; i < data.length; i += 4) {
      data.fill(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2] + 0.5, i, i + 3);
    }
    context.putImageData(image, 0, 0);
  }

  // The photo and its greys in small, as addresses: what tiles have below their maps.
  get thumbnails() {
    const canvas = document.createElement("canvas"), { width, height } = this.greys, reduce = TILE_PX / Math.max(width, height);
    return [this.photo, this.greys].map((picture) => {
      Object.assign(canvas, { width: Math.round(width * reduce) || 1, height: Math.round(height * reduce) || 1 });
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      return canvas.toDataURL("image/jpeg", 0.85);
    });
  }

  // What maps follow the photo's edges with, at a size; null before the photo is there.
  guide(width, height) {
    if (!this.hasPhoto) return null;
    if (this.guides?.width !== width || this.guides.height !== height) this.guides = new Guide(this.photo, width, height);
    return this.guides;
  }

  // What the picture is, for those who do not see it.
  describe(alt) {
    const { rows, columns } = this.data;
    this.frame.setAttribute("aria-label", `${alt}. ${rows} rows and ${columns} columns of patches. ${this.canvas.data.help}`);
  }

  load() {
    const { features, rows, columns } = this.data;
    if (this.address === features) return;
    this.address = features;
    this.features = null;
    this.canvas.count();
    if (!features) return;
    featuresAt(features, rows * columns).then(
      (found) => {
        if (this.address !== features) return;
        this.features = found;
        this.canvas.arrived();
      },
      () => this.canvas.say("The features did not arrive; reload the page to compare patches."),
    );
  }

  // What the page shows before anything is pointed at comes back.
  rest() {
    this.heat.hidden = true;
    this.map.hidden = !this.data.map;
    this.stage.classList.remove("comparing");
    this.clip();
    this.canvas.look.tellScale();
  }

  // Cosines as colours over the photo, from the lowest of them to 1.
  showHeat(cosines) {
    const { look } = this.canvas, { rows, columns } = this.data;
    let low = 1, high = -1;
    for (const value of cosines) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (look.on) look.paintHeat(this.heat, cosines, { low, high });
    else paintField(this.heat, cosines, columns, rows, { low, high }, this.canvas.colours.pixels);
    this.heat.classList.toggle("fine", look.on);
    this.heat.style.opacity = look.on ? look.value.opacity : this.canvas.opacity;
    this.heat.hidden = false;
    this.map.hidden = true;
    this.stage.classList.add("comparing");
    if (look.on) look.tellCosines(low);
    return { low, high };
  }

  // Only the left `share` percent of the photo lies over the map.
  clip() {
    const { wipe } = this.canvas;
    const clip = wipe === null ? "" : `inset(0 0 0 ${wipe}%)`;
    for (const one of [this.map, this.over, this.mask]) one.style.clipPath = clip;
  }

  // Boxes over patches: [{row, column, kind}], kinds hover, chosen, best, plus, minus; or a box.
  mark(marks) {
    this.marks.replaceChildren(...marks.map((one) => {
      const { rows, columns } = this.data, element = document.createElement("div");
      element.className = `mark ${one.kind}`;
      element.style.top = `${(100 * one.row) / rows}%`;
      element.style.left = `${(100 * one.column) / columns}%`;
      element.style.height = `${(100 * (one.height ?? 1)) / rows}%`;
      element.style.width = `${(100 * (one.width ?? 1)) / columns}%`;
      if (one.text) element.textContent = one.text;
      return element;
    }));
  }

  // The patch at a place of the window, [row, column].
  under(x, y) {
    const box = this.stage.getBoundingClientRect(), { rows, columns } = this.data;
    const part = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value * count)));
    return [part((y - box.top) / box.height, rows), part((x - box.left) / box.width, columns)];
  }

  // A place of the window in cells of the paint, {x, y}.
  cellAt({ clientX, clientY }) {
    const box = this.stage.getBoundingClientRect();
    return {
      x: ((clientX - box.left) / box.width) * this.paint.columns,
      y: ((clientY - box.top) / box.height) * this.paint.rows,
    };
  }

  // The middle of a patch in cells of the paint.
  cellOf([row, column]) {
    const { rows, columns } = this.data;
    return { x: ((column + 0.5) / columns) * this.paint.columns, y: ((row + 0.5) / rows) * this.paint.rows };
  }

  // The brush around a place of the window; null hides it.
  showRing(place, size, erasing) {
    this.ring.hidden = !place;
    if (!place) return;
    const box = this.frame.getBoundingClientRect();
    this.ring.style.width = this.ring.style.height = `${size}px`;
    this.ring.style.left = `${place.x - box.left - size / 2}px`;
    this.ring.style.top = `${place.y - box.top - size / 2}px`;
    this.ring.classList.toggle("erasing", erasing);
  }

  // Where the middle of a patch is in the window, and whether that is inside the frame.
  middle(row, column) {
    const box = this.stage.getBoundingClientRect(), frame = this.frame.getBoundingClientRect();
    const x = box.left + ((column + 0.5) / this.data.columns) * box.width;
    const y = box.top + ((row + 0.5) / this.data.rows) * box.height;
    const inside = x >= frame.left && x <= frame.right && y >= frame.top && y <= frame.bottom;
    return { x, y, inside };
  }

  fit() {
    const rows = Math.ceil(this.canvas.panels.length / this.canvas.columns); // of panels, on a wide screen
    const most = Math.max(260, (window.innerHeight * TALLEST) / rows), { width, height } = this.data;
    this.root.style.maxWidth = `${(most * width) / height}px`;
    this.frame.style.aspectRatio = `${width} / ${height}`;
  }

  zoomTo(scale, clientX, clientY) {
    const next = Math.min(CLOSEST, Math.max(1, scale)), change = next / this.zoom.scale;
    const box = this.frame.getBoundingClientRect();
    const x = (clientX ?? box.left + box.width / 2) - box.left, y = (clientY ?? box.top + box.height / 2) - box.top;
    this.pan(x - (x - this.zoom.x) * change, y - (y - this.zoom.y) * change, next);
  }

  // The photo never leaves its frame.
  pan(x, y, scale = this.zoom.scale) {
    const { clientWidth, clientHeight } = this.frame;
    const within = (value, size) => Math.min(0, Math.max(size * (1 - scale), value));
    this.zoom = { scale, x: within(x, clientWidth), y: within(y, clientHeight) };
    this.stage.style.transform = scale === 1 ? "" : `translate(${this.zoom.x}px, ${this.zoom.y}px) scale(${scale})`;
    this.stage.style.setProperty("--thin", 1 / scale); // frames of patches stay as thick as they were
    this.frame.classList.toggle("close", scale > 1);
    this.canvas.moved?.();
  }
}
