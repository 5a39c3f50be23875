export default function ({ setTriggerValue, parentElement, data }) {
  const status = parentElement.querySelector("#status");
  const onPaste = (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    if (!file) return; // text pasted into a field is none of our business
    event.preventDefault();
    if (file.size > data.max_bytes) {
      status.textContent =
        `The pasted picture has ${(file.size / 2 ** 20).toFixed(1)} MB; ` +
        `the limit is ${data.max_bytes / 2 ** 20} MB. Resize it first.`;
      return;
    }
    status.textContent = "Pasted.";
    const reader = new FileReader();
    reader.onload = () =>
      setTriggerValue("pasted", { name: file.name || "pasted.png", data: reader.result.split(",")[1] });
    reader.readAsDataURL(file);
  };
  document.addEventListener("paste", onPaste);
  return () => document.removeEventListener("paste", onPaste);
}
