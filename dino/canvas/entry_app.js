// The app's component: Streamlit calls it anew with what changed, and its cleanup when it leaves the page.
//
// Streamlit sends a component's script with each of its messages. So the canvas itself comes in a message of its
// own, which never changes and is sent once (entry_script.js), and this is all that goes with every change.

const boards = new WeakMap();

export default function (component) {
  const place = component.parentElement;
  let board = boards.get(place);
  if (!board) {
    boards.set(place, (board = {}));
    canvasClass.promise.then((Canvas) => {
      if (board.gone) return;
      board.canvas = new Canvas(place);
      board.canvas.update(board.last);
    });
  }
  board.last = component;
  board.canvas?.update(component);
  return () => {
    boards.delete(place);
    board.gone = true;
    board.canvas?.close();
  };
}
