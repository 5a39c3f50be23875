// The canvas's script as a component that shows nothing: the app's canvases wait for its class.

canvasClass.tell(Canvas);

export default () => {};
