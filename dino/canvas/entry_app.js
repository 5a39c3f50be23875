// The app's component: Streamlit calls it anew with what changed, and its cleanup when it leaves the page.

const boards = new WeakMap();

export default function (component) {
  const place = component.parentElement;
  let canvas = boards.get(place);
  if (!canvas) boards.set(place, (canvas = new Canvas(place)));
  canvas.update(component);
  return () => {
    boards.delete(place);
    canvas.close();
  };
}
