export default function ({ data, parentElement, setTriggerValue }) {
  const { dataset } = parentElement.host ?? parentElement; // a shadow root has none
  if (dataset.page && dataset.page !== data.page) document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
  dataset.page = data.page;
  const turns = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
  const turn = (event) => {
    if (!(event.key in turns) || event.defaultPrevented) return;
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const target = event.composedPath()[0];
    const free = target === document.body || target === document.documentElement
      || target.matches?.('[data-testid="stMain"], [data-testid="stButton"] button, input[type="checkbox"]');
    if (!free) return;
    event.preventDefault();
    setTriggerValue("turned", turns[event.key]);
  };
  document.addEventListener("keydown", turn);
  return () => document.removeEventListener("keydown", turn);
}
