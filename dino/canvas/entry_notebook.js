// The notebook's widget: the same canvas, in a tree of its own so that its styles meet no others.

function render({ model, el }) {
  const root = (el.shadowRoot ?? el.attachShadow({ mode: "open" }));
  root.innerHTML = `<style>${model.get("style")}</style>${model.get("markup")}`;
  const canvas = new Canvas(root);
  const trigger = (name, value) => model.send({ [name]: value });
  const update = () => {
    for (const [id, bytes] of Object.entries({ ...model.get("still"), ...model.get("maps") })) {
      takeIn(id, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    }
    canvas.update({ data: model.get("data"), setTriggerValue: trigger });
  };
  model.on("change:data", update);
  update();
  return () => {
    model.off("change:data", update);
    canvas.close();
  };
}

export default { render };
