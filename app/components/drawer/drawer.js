// The page last shown is kept on the document, as this may be set up anew with a page; before the first it
// is the one in the address the app was opened by, as another may be chosen before this is set up at all.
const { dataset } = document.documentElement;
const openedBy = () => {
  const [opened] = performance.getEntriesByType("navigation");
  return new URL(opened?.name ?? location.href).pathname.split("/").pop();
};

export default function ({ data }) {
  const another = (dataset.dinoPage ?? openedBy()) !== data.page;
  dataset.dinoPage = data.page;
  if (another && matchMedia("(max-width: 768px)").matches)
    document.querySelector('[data-testid="stSidebarCollapseButton"] button')?.click();
}
