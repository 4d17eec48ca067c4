/* The page: the model is loaded, and what a person chooses is read, one file after another. */

let work = Promise.resolve(); // all that was chosen up to now
const seen = new Set(); // identities of the files that were chosen
let status = { id: "loading" };

function setStatus(id, values) {
  status = { id, values };
  byId("status").textContent = say(status);
}

/** Let the browser draw and answer before the next radiograph; a timer would wait in a tab that is not seen. */
function breathe() {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

/** Read files, after all those that were chosen before. */
function readFiles(files, emptyFolders = []) {
  work = work.then(async () => {
    emptyFolders.forEach((path) => addLeftOut(path, { id: "emptyFolder" }));
    const bar = byId("progress");
    [bar.max, bar.value, bar.hidden] = [files.length || 1, 0, files.length < 2];
    const before = { answers: answers.length, leftOut: leftOut.length - emptyFolders.length };
    for (const chosen of files) {
      if (files.length > 1) setStatus("reading", { number: bar.value + 1, total: files.length });
      else setStatus("readingOne");
      await breathe();
      await readFile(chosen);
      bar.value += 1;
    }
    bar.hidden = true;
    const read = answers.length - before.answers;
    if (read) await showAnswer(answers[before.answers]);
    markShown();
    setStatus("done", { read, leftOut: leftOut.length - before.leftOut });
  });
  return work;
}

async function readFile({ file, path, identity }) {
  if (seen.has(identity)) return addLeftOut(path, { id: "twice" });
  seen.add(identity);
  try {
    const radiograph = await readRadiograph(file);
    addAnswer({ file, path, warnings: radiograph.warnings, ...(await predict(radiograph)) });
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error);
    addLeftOut(path, error instanceof Refusal ? error.sentence : { id: "unreadable" });
  }
}

function renderCard() {
  byId("warnings").replaceChildren(...CARD.warnings.map((warning) => make("li", translate(warning))));
  const teacher = CARD.teacher ?? text("noTeacher");
  const facts = {
    network: CARD.network,
    teacher,
    precision: CARD.precision,
    operatingPoints: thresholdRule(),
    modelHash: CARD.model_hash,
    weightsHash: CARD.weights_hash,
    ...Object.fromEntries(Object.entries(CARD.splits).map(([role, hash]) => [`list: ${role}`, hash])),
  };
  byId("card-facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [
      make("dt", name.startsWith("list: ") ? text("imageList", { role: name.slice(6) }) : text(name)),
      make("dd", value),
    ]),
  );
}

function thresholdRule() {
  const { threshold_rule: rule, target_sensitivity: target } = CARD;
  if (!rule) return text("noThresholdRule");
  return target === null ? text("thresholdRule", { rule }) : text("targetRule", { rule, target });
}

function render() {
  writeTexts();
  renderCard();
  renderAll();
  byId("status").textContent = say(status);
  return renderOne();
}

function listen() {
  byId("language").addEventListener("click", () => {
    language = LANGUAGES.find((other) => other !== language);
    render();
  });
  for (const id of ["choose", "choose-folder"]) {
    byId(id).addEventListener("change", async (event) => readFiles(await filesOfInput(event.target)));
  }
  byId("findings").addEventListener("keydown", moveWithArrows);
  byId("save").addEventListener("click", saveCsv);
  byId("clear").addEventListener("click", () => {
    work = work.then(() => {
      seen.clear();
      clearAll();
      setStatus("ready");
    });
  });
  // Anywhere on the page: a browser would open a file that misses the marked place, and leave the page.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("drop").classList.remove("over");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    byId("drop").classList.remove("over");
    const { files, emptyFolders } = await filesOfDrop(event.dataTransfer);
    readFiles(files, emptyFolders);
  });
}

/** Load the model; files that are chosen meanwhile wait for it. */
async function start() {
  await render();
  listen();
  work = startModel();
  try {
    await work;
    performance.mark("ready"); // what benchmarks read
    setStatus("ready");
  } catch (error) {
    console.error(error);
    setStatus("cannotStart", { error: error.message });
  }
}

addEventListener("DOMContentLoaded", start);
