// Maps of several heads over a photo, frame by frame; everything is here, nothing is asked for.

const STEP_MS = 350;
const films = new WeakMap();

export default function ({ data, parentElement }) {
  let film = films.get(parentElement);
  if (!film) films.set(parentElement, (film = new Film(parentElement)));
  film.update(data);
  return () => {
    films.delete(parentElement);
    film.stop();
  };
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

class Film {
  constructor(place) {
    this.find = (id) => place.querySelector(`#${id}`);
    this.slider = this.find("at");
    this.slider.oninput = () => this.stop() ?? this.show(Number(this.slider.value));
    this.find("play").onclick = () => (this.timer ? this.stop() : this.play());
    this.find("film").onkeydown = (event) => this.key(event);
    this.now = -1;
  }

  update(data) {
    const another = this.data?.id !== data.id;
    this.data = data;
    this.palette = bytes(data.palette);
    this.frames = data.frames.map(bytes);
    this.slider.max = this.frames.length - 1;
    this.find("film").setAttribute("aria-label", `${data.alt} Space plays, arrow keys step.`);
    if (another) this.lay();
    this.show(another || this.now < 0 ? this.frames.length - 1 : Math.min(this.now, this.frames.length - 1));
  }

  lay() {
    const { names, photo, rows, columns, width, height } = this.data;
    const figures = ["Photo", ...names].map((name) => {
      const figure = document.createElement("figure");
      figure.innerHTML = '<div class="picture"><img alt=""></div><figcaption></figcaption>';
      figure.querySelector("img").src = photo;
      figure.querySelector(".picture").style.aspectRatio = `${width} / ${height}`;
      figure.querySelector("figcaption").textContent = name;
      return figure;
    });
    this.canvases = figures.slice(1).map((figure) => {
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: columns, height: rows });
      figure.querySelector(".picture").append(canvas);
      return canvas;
    });
    this.find("maps").replaceChildren(...figures);
  }

  show(index) {
    this.now = index;
    this.slider.value = index;
    const { rows, columns, labels } = this.data, frame = this.frames[index], size = rows * columns;
    this.canvases.forEach((canvas, head) => {
      const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
      for (let i = 0; i < size; i++) {
        const level = 3 * frame[head * size + i];
        image.data.set([this.palette[level], this.palette[level + 1], this.palette[level + 2], 255], 4 * i);
      }
      context.putImageData(image, 0, 0);
    });
    this.find("label").textContent = labels[index];
    this.slider.setAttribute("aria-valuetext", labels[index]);
  }

  play() {
    if (this.now >= this.frames.length - 1) this.show(0);
    this.find("play").textContent = "⏸";
    this.find("play").setAttribute("aria-label", "Pause");
    this.timer = setInterval(() => {
      if (this.now >= this.frames.length - 1) return this.stop();
      this.show(this.now + 1);
    }, STEP_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.find("play").textContent = "▶";
    this.find("play").setAttribute("aria-label", "Play");
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const own = event.composedPath()[0] === this.find("film");
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && own) {
      this.stop();
      this.show(Math.min(this.frames.length - 1, Math.max(0, this.now + step)));
      this.find("said").textContent = this.data.labels[this.now];
    } else if (event.key === " " && own) this.find("play").click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
