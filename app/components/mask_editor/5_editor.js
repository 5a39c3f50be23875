// What goes to Python and comes from it. One Editor lives in each place the component is mounted;
// Streamlit calls the default export again whenever the data changed. What leaves is
// {action, visit, index, objects}.

const editors = new WeakMap();
const AUTOSAVE_MS = 700;
const BUSY_MS = 2500; // how long a verdict waits for its answer before keys work again

export default function (component) {
  const place = component.parentElement;
  let editor = editors.get(place);
  if (!editor) editors.set(place, (editor = new Editor(place)));
  editor.update(component);
  return () => {
    editors.delete(place);
    editor.close();
  };
}

class Editor extends Input {
  constructor(place) {
    super();
    this.find = (id) => place.querySelector(`#${id}`);
    for (const id of ["frame", "stage", "photo", "canvas", "ring", "size", "kind", "message", "where"]) {
      this[id] = this.find(id);
    }
    this.context = this.canvas.getContext("2d");
    this.visit = null;
    this.objects = [];
    this.erasing = false;
    this.hidden = false;
    this.aborter = new AbortController();
    this.pointers = new Map();
    this.listen();
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.frame);
  }

  update(component) {
    const { data } = component;
    if (this.visit !== null && this.visit !== data.visit) this.flush();
    this.component = component;
    this.busy = 0;
    this.classes = data.classes;
    if (this.visit !== data.visit) this.open(data);
    this.where.textContent = data.where;
    this.where.dataset.status = data.status;
    this.find("previous").disabled = !data.has_previous;
    this.find("next").disabled = !data.has_next;
    this.listObjects();
  }

  open(data) {
    Object.assign(this, { visit: data.visit, index: data.index, width: data.width, height: data.height });
    this.objects = data.objects.map((o) => ({ id: o.id, kind: o.class, mask: fromRuns(o.runs, data.width * data.height) }));
    this.chosen = 0;
    Object.assign(this, { changed: false, unsent: false, history: new History(), stroke: null });
    this.cursor = { x: data.width / 2, y: data.height / 2, down: false };
    this.canvas.width = data.width;
    this.canvas.height = data.height;
    this.photo.src = data.photo;
    this.canvas.setAttribute("aria-label", data.alt);
    this.zoom = { scale: 1, x: 0, y: 0 };
    this.say("");
    this.fit();
    this.draw();
    this.showHistory();
  }

  close() {
    this.flush();
    clearTimeout(this.timer);
    this.aborter.abort();
    this.observer.disconnect();
  }

  send(action) {
    clearTimeout(this.timer);
    this.unsent = false;
    const objects = this.changed ? this.objects.map((o) => ({ id: o.id, class: o.kind, runs: toRuns(o.mask) })) : null;
    this.component.setTriggerValue("event", { action, visit: this.visit, index: this.index, objects });
    if (action === "save") this.say("Saved.");
  }

  flush() {
    if (this.unsent) this.send("save");
  }

  decide(action) {
    if (Date.now() < this.busy || this.stroke || this.visit === null) return;
    if (this.find(action).disabled) return;
    this.busy = Date.now() + BUSY_MS;
    this.say({ accept: "Accepted.", reject: "Rejected." }[action] ?? "");
    this.send(action);
  }

  touched() {
    this.changed = this.unsent = true;
    this.say("Not saved yet …");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), AUTOSAVE_MS);
  }

  say(text) {
    this.message.textContent = text;
  }
}
