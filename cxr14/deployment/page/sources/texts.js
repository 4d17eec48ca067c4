/* Texts in the chosen language, from the table texts.json.

A sentence is {id, values}: it is kept like that, and written out when it is shown, so that what is in sight
changes with the language. */

const TEXTS = JSON.parse(document.getElementById("texts").textContent);
const LANGUAGES = ["en", "zh"];

let language = navigator.language.startsWith("zh") ? "zh" : "en";

/** An error with a sentence for the person who chose the file. */
class Refusal extends Error {
  constructor(id, values = {}) {
    super(say({ id, values }, "en"));
    this.sentence = { id, values };
  }
}

/** Write out a sentence; a value may be a sentence itself. */
function say({ id, values = {} }, into = language) {
  return TEXTS[id][into].replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "object" ? say(value, into) : String(value);
  });
}

/** Return the text of an id. */
function text(id, values) {
  return say({ id, values });
}

/** Return an English sentence of the model's card in the chosen language; one that is not known stays English. */
function translate(sentence) {
  if (language === "en") return sentence;
  for (const [id, texts] of Object.entries(TEXTS)) {
    if (!id.startsWith("card")) continue;
    const values = matchPattern(texts.en, sentence);
    if (values) return say({ id, values });
  }
  return sentence;
}

/** Return what stands in the place of each {name} of a pattern; null where a sentence does not follow it. */
function matchPattern(pattern, sentence) {
  const expression = pattern
    .replace(/[.*+?^$()|[\]\\]/g, "\\$&")
    .replace(/\{(\w+)\}/g, "(?<$1>.+)");
  const found = new RegExp(`^${expression}$`).exec(sentence);
  return found && { ...found.groups };
}

/** Write the texts of all elements that name one: data-text for their content, data-label for their name. */
function writeTexts() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
}

/** Return the name of a finding in the chosen language. */
function findingName(finding) {
  return text(finding.name);
}
