// How the maps of a photo look, and which of them is large: drawn here from numbers, while a hand moves.
//
// Python hears of it once the hand rests, as `look` ({head, scale, smooth, colours, opacity, greys, outline, fill,
// beside, number}), for the link and for its own pictures. It gives back the number that it heard last: only the
// answer to the last one may change what is shown.

const REST_MS = 400;
const FIELD_PX = 720, TILE_PX = 176; // longer sides that maps are drawn at
const TILES_MS = 4; // of a frame for tiles that are drawn anew
const MOST_FIELDS = 32; // that are kept, a megabyte and a half each
const FEW_TILES = 9; // which may be larger

class Look {
  constructor(canvas) {
    Object.assign(this, { canvas, value: null, number: null, timer: null, maps: null, id: null, fields: new Map() });
    Object.assign(this, { names: "", tiles: [], stale: new Set(), drawn: {} });
    this.find = canvas.find;
    this.listen();
  }

  get on() {
    return Boolean(this.data);
  }

  get panel() {
    return this.canvas.panels[0];
  }

  // The place of the large map among all.
  get index() {
    return Math.max(0, this.data.names.indexOf(this.value.head));
  }

  get colours() {
    return coloursOf(this.value.colours);
  }

  // What Python sends; null where a page draws its pictures itself.
  update(data) {
    this.data = data;
    for (const id of ["bar", "side"]) this.find(id).hidden = !data;
    for (const panel of this.canvas.panels) {
      panel.stamp.hidden = !data?.mark;
      panel.stamp.textContent = data?.mark ?? "";
    }
    if (!data) return;
    this.find("tiles").hidden = data.names.length < 2;
    this.number ??= data.heard;
    if (!this.value || (data.heard === this.number && !this.timer)) this.value = { ...data.look };
    const { rows, columns } = this.panel.data;
    const names = JSON.stringify([data.names, data.titles, data.notes]);
    if (this.names !== names) this.makeTiles(names);
    this.find("main").classList.toggle("wide", data.tiles === "beside");
    if (this.id !== data.id) {
      this.id = data.id;
      this.maps = null;
      arrived(data.id).then((bytes) => {
        if (this.id !== data.id) return;
        this.maps = new Maps(bytes, rows, columns);
        this.forget();
      });
    }
    this.draw();
  }

  // What was drawn is of other maps, or of another photo.
  forget() {
    this.fields.clear();
    this.drawn = {};
    this.draw();
  }

  listen() {
    const signal = this.canvas.aborter.signal;
    const read = {
      scale: (e) => e.value, smooth: (e) => e.value, colours: (e) => e.value, beside: (e) => e.value,
      opacity: (e) => Number(e.value) / 100, outline: (e) => Number(e.value), greys: (e) => e.checked, fill: (e) => e.checked,
    };
    for (const [name, of] of Object.entries(read)) {
      const element = this.find(`look-${name}`);
      element.addEventListener("input", () => this.change({ [name]: of(element) }), { signal });
    }
    const names = Object.keys(PALETTES);
    this.find("look-colours").replaceChildren(...names.map((name) => new Option(name, name)));
    this.find("tiles").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (step) this.step(step);
      else if (!this.digit(event)) return;
      this.tiles[this.index].button.focus();
      event.preventDefault();
      event.stopPropagation(); // the page's own listener below, and Streamlit's
    }, { signal });
    // Keys of a page on which nothing else has the focus.
    document.addEventListener("keydown", (event) => {
      if (!this.on || !this.canvas.data.page_keys || event.defaultPrevented || event.target !== document.body) return;
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && !event.ctrlKey && !event.altKey && !event.metaKey) this.step(step);
      else if (!this.digit(event)) return;
      event.preventDefault();
    }, { signal });
  }

  // A digit is a head's number; whether there is one.
  digit(event) {
    if (!this.on || event.ctrlKey || event.altKey || event.metaKey || !/^\d$/.test(event.key)) return false;
    if (this.data.names.includes(event.key)) this.change({ head: event.key });
    return true;
  }

  step(by) {
    const { names } = this.data;
    this.change({ head: names[(this.index + by + names.length) % names.length] });
    this.canvas.say(this.title);
  }

  change(what) {
    this.value = { ...this.value, ...what };
    this.number += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tell(), REST_MS);
    this.draw();
  }

  tell() {
    clearTimeout(this.timer);
    this.timer = null;
    this.canvas.trigger("look", { ...this.value, number: this.number });
  }

  close() {
    if (this.timer) this.tell();
    cancelAnimationFrame(this.frame);
  }

  get title() {
    return this.data.titles[this.index];
  }

  // Once a frame at most.
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.data && this.maps) this.paint();
    });
  }

  paint() {
    const { value, panel, drawn, index } = this, { opacity, greys, scale, smooth, colours, outline, fill, beside } = value;
    const now = {
      field: [index, scale, smooth, colours].join(), tiles: [scale, smooth, colours].join(),
      mask: [index, outline, fill].join(), layers: [opacity, greys, beside].join(), chosen: index,
    };
    const was = (name) => now[name] === drawn[name];
    this.drawn = now;
    if (!was("field") && !this.paintLarge()) delete now.field; // the photo is still to come
    if (!was("mask")) this.paintMask();
    if (!was("layers")) this.paintLayers();
    if (!was("chosen") || !was("field")) this.tellChosen();
    if (!was("tiles")) this.tiles.forEach((_, tile) => this.stale.add(tile));
    this.paintTiles();
    this.warm();
    this.showControls();
    panel.over.dataset.painted = Number(panel.over.dataset.painted ?? 0) + 1;
  }

  paintLarge() {
    const values = this.fieldOf(this.index);
    if (!values) return false;
    const { panel: { field: canvas }, value, maps } = this, [width, height] = this.sizeOf(FIELD_PX);
    paintField(canvas, values, width, height, maps.range(this.index, value.scale), this.colours.pixels);
    canvas.hidden = false;
    return true;
  }

  // (width, height) of a picture of the photo's shape.
  sizeOf(longer) {
    const { width, height } = this.panel.data, reduce = longer / Math.max(width, height);
    return [width, height].map((side) => Math.max(1, Math.round(side * reduce)));
  }

  // A map's values at the pixels it is drawn at, kept; null while the photo it follows is not there.
  fieldOf(index) {
    const { value: { smooth }, fields, maps } = this, key = `${index} ${smooth}`;
    if (!fields.has(key)) {
      const { rows, columns } = maps, [width, height] = this.sizeOf(FIELD_PX);
      const guide = smooth === "sharp" ? this.panel.guide(width, height) : null;
      if (smooth === "sharp" && !guide) return null;
      if (fields.size >= MOST_FIELDS) fields.delete(fields.keys().next().value);
      const values = maps.of(index);
      fields.set(key, guide ? guide.field(values, rows, columns) : field(values, rows, columns, width, height, smooth));
    }
    return fields.get(key);
  }

  // Works out the sharp maps of the other heads while the browser has nothing else to do.
  warm() {
    const { maps, value, data } = this;
    if (this.warming || value.smooth !== "sharp" || data.names.length > MOST_FIELDS) return;
    const next = data.names.findIndex((_, index) => !this.fields.has(`${index} sharp`));
    if (next < 0) return;
    const idle = window.requestIdleCallback ?? ((call) => setTimeout(call, 100));
    this.warming = true;
    idle(() => {
      this.warming = false;
      if (this.maps === maps && this.value.smooth === "sharp" && this.fieldOf(next)) this.warm();
    });
  }

  // Values of patches that are not among the maps, such as cosines, drawn as the maps are.
  paintHeat(canvas, values, range) {
    const { rows, columns } = this.maps ?? this.panel.data, [width, height] = this.sizeOf(FIELD_PX);
    const how = this.value.smooth === "sharp" ? "bicubic" : this.value.smooth;
    paintField(canvas, field(values, rows, columns, width, height, how), width, height, range, this.colours.pixels);
  }

  paintMask() {
    const { value: { outline, fill }, maps, panel } = this, show = outline > 0 && this.data.shares;
    panel.mask.toggleAttribute("hidden", !show);
    if (!show) return;
    const { rows, columns } = maps, { edges, area } = outlines(maps.kept(this.index, outline / 100), rows, columns);
    panel.mask.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    for (const path of panel.mask.querySelectorAll(".edge")) path.setAttribute("d", edges);
    panel.mask.querySelector(".area").setAttribute("d", fill ? area : "");
  }

  // What the browser does alone: opacity, greys, and how much of the photo is seen beside.
  paintLayers() {
    const { opacity, greys, beside } = this.value, { panel, canvas } = this;
    panel.field.style.opacity = opacity;
    this.find("tiles").style.setProperty("--opacity", opacity);
    panel.greys.hidden = !greys;
    canvas.board.classList.toggle("in-greys", greys);
    canvas.wipe = beside === "wipe" ? Number(this.find("slider").value) : null;
    this.find("wipe").hidden = beside !== "wipe";
    this.find("before").hidden = beside !== "side";
    this.find("before").firstChild.style.aspectRatio = `${panel.data.width} / ${panel.data.height}`;
    this.find("panels").style.setProperty("--columns", beside === "side" ? 2 : canvas.columns);
    panel.clip();
    panel.fit();
  }

  tellChosen() {
    const { index, data, panel } = this;
    this.tiles.forEach(({ button }, tile) => {
      button.setAttribute("aria-pressed", tile === index);
      button.tabIndex = tile === index ? 0 : -1;
    });
    panel.describe(`${data.titles[index]} ${data.of}, over: ${panel.data.alt}`);
    this.canvas.board.dataset.head = data.names[index];
    if (!panel.stage.classList.contains("comparing")) this.tellScale();
  }

  // The bar of the map: its ends, and what is brighter than its end.
  tellScale() {
    if (!this.maps) return;
    const { factor, unit, what } = this.data, { low, high, most } = this.maps.range(this.index, this.value.scale);
    const text = (value) => `${short(factor * value, factor * high)}${unit}`;
    const above = most > high ? ` and more, up to ${text(most)}` : "";
    this.bar([text(low), text((low + high) / 2), text(high) + above], `${this.title}: ${what}`);
  }

  tellCosines(low) {
    this.bar([low, (low + 1) / 2, 1].map((value) => value.toFixed(2)), "Similarity with the patch (cosine)");
  }

  bar(ends, what) {
    const bar = this.find("bar");
    bar.querySelector(".ramp").style.background = `linear-gradient(to right,${this.colours.ramp})`;
    bar.querySelectorAll(".ends span").forEach((span, i) => (span.textContent = ends[i]));
    bar.querySelector(".what").textContent = what;
    bar.setAttribute("aria-label", `${what}, colour bar from ${ends[0]} to ${ends[2]}`);
  }

  makeTiles(names) {
    this.names = names;
    const { titles, notes, group } = this.data;
    this.tiles = titles.map((title, index) => {
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      const view = document.createElement("span"), words = document.createElement("span");
      view.className = "view";
      words.className = "words";
      words.append(Object.assign(document.createElement("b"), { textContent: title }), ` ${notes[index] ?? ""}`);
      view.append(canvas);
      if (this.data.mark) view.append(Object.assign(document.createElement("span"), { className: "stamp", textContent: this.data.mark }));
      button.append(view, words);
      button.className = "tile";
      button.setAttribute("aria-label", [title, notes[index]].filter(Boolean).join(": "));
      button.addEventListener("click", () => this.change({ head: this.data.names[index] }));
      return { button, canvas };
    });
    this.find("tiles").setAttribute("aria-label", group);
    this.find("tiles").classList.toggle("few", titles.length <= FEW_TILES);
    this.find("tiles").replaceChildren(...this.tiles.map(({ button }) => button));
    this.drawn = {};
  }

  // As many as a frame has time for; the others in the next.
  paintTiles() {
    const started = performance.now(), [width, height] = this.sizeOf(TILE_PX);
    const { maps, value } = this, how = value.smooth === "sharp" ? "bicubic" : value.smooth;
    for (const tile of this.stale) {
      if (performance.now() - started > TILES_MS) break;
      this.stale.delete(tile);
      if (!this.tiles[tile] || tile >= maps.count) continue;
      const values = field(maps.of(tile), maps.rows, maps.columns, width, height, how);
      paintField(this.tiles[tile].canvas, values, width, height, maps.range(tile, value.scale), this.colours.pixels);
    }
    if (this.stale.size) this.draw();
  }

  showControls() {
    const { value } = this;
    for (const name of ["scale", "smooth", "colours", "beside"]) this.find(`look-${name}`).value = value[name];
    this.find("look-bilinear").hidden = value.smooth !== "bilinear";
    this.find("look-opacity").value = Math.round(100 * value.opacity);
    this.find("look-outline").value = value.outline;
    this.find("look-greys").checked = value.greys;
    this.find("look-fill").checked = value.fill;
    this.find("look-held").textContent = value.outline ? `${value.outline}% of it` : "none";
    for (const name of ["outline", "fill"]) this.find(`look-${name}`).disabled = !this.data.shares;
  }
}

// Three digits; 0 where a value is nothing beside `scale`.
function short(value, scale) {
  return Math.abs(value) < 5e-4 * Math.abs(scale) ? "0" : String(Number(value.toPrecision(3)));
}
