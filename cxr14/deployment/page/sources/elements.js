/* What the other scripts share: elements, numbers and words, and decompression. */

function byId(id) {
  return document.getElementById(id);
}

/** Return a new element with a text and a class. */
function make(tag, content = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  if (className) element.className = className;
  return element;
}

/** Return a number with three decimals, as predict.py prints it; "-" where there is none. */
function decimals(value) {
  return value === null ? "-" : value.toFixed(3);
}

function yesOrNo(positive) {
  return positive === null ? "" : text(positive ? "yes" : "no");
}

/** Return a stream of what compressed parts hold; a Blob in between would take a way through another process. */
function decompress(parts, format) {
  const { readable, writable } = new DecompressionStream(format);
  const writer = writable.getWriter();
  const ignore = () => {}; // whoever reads gets the error as well
  for (const part of parts) writer.write(part).catch(ignore);
  writer.close().catch(ignore);
  return readable;
}
