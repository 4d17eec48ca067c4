/* What the views share: elements, numbers and words. */

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
