/* Several radiographs: a table with a row for each, the files that were left out, and the table as CSV. */

const answers = []; // of all radiographs that were read, in order
const leftOut = []; // {path, reason}

function renderAll() {
  byId("several").hidden = answers.length < 2;
  const heads = CARD.findings.map((finding) => headCell(findingName(finding)));
  byId("all-head").replaceChildren(headCell(text("radiograph")), ...heads);
  byId("all").replaceChildren(...answers.map(answerRow));
  markShown();
  renderLeftOut();
}

/** Add a row, without making the others anew. */
function addAnswer(answer) {
  answers.push(answer);
  if (answers.length <= 2) renderAll();
  else byId("all").append(answerRow(answer));
}

function addLeftOut(path, reason) {
  leftOut.push({ path, reason });
  renderLeftOut();
}

function clearAll() {
  answers.length = leftOut.length = 0;
  hideAnswer();
  renderAll();
}

function headCell(name) {
  const cell = make("th", name);
  cell.scope = "col";
  return cell;
}

function answerRow(answer) {
  const row = make("tr");
  const head = make("th");
  head.scope = "row";
  const button = make("button", answer.path);
  button.type = "button";
  button.addEventListener("click", async () => {
    await showAnswer(answer);
    markShown();
    byId("one").scrollIntoView({ block: "nearest" });
  });
  head.append(button, ...answer.warnings.map((warning) => make("small", say(warning))));
  row.append(head);
  CARD.findings.forEach((finding, number) => {
    const probability = answer.probabilities[number];
    const cell = make("td", decimals(probability), "number");
    if (isPositive(finding, probability)) {
      cell.classList.add("positive");
      cell.append(make("span", ` ${text("yes")}`, "unseen"));
    }
    row.append(cell);
  });
  return row;
}

function markShown() {
  [...byId("all").rows].forEach((row, number) => {
    const isShown = answers[number] === oneView.answer;
    row.classList.toggle("shown", isShown);
    row.querySelector("button").setAttribute("aria-current", isShown);
  });
}

function renderLeftOut() {
  byId("clear").hidden = !answers.length && !leftOut.length;
  byId("drop").classList.toggle("small", answers.length > 0);
  byId("left-out").hidden = !leftOut.length;
  byId("left-out-list").replaceChildren(
    ...leftOut.map(({ path, reason }) => {
      const item = make("li");
      item.append(make("b", path), `: ${say(reason)}`);
      return item;
    }),
  );
}

/** Return the table as the CSV file that predict.py writes: always in English, for other programs. */
function csvText() {
  const names = CARD.findings.map((finding) => finding.name);
  const rows = [["radiograph", ...names, ...names.map((name) => `${name} positive`), "warnings"]];
  for (const { path, probabilities, warnings } of answers) {
    const words = CARD.findings.map((finding, number) => {
      const positive = isPositive(finding, probabilities[number]);
      return positive === null ? "" : positive ? "yes" : "no";
    });
    const sentences = warnings.map((warning) => say(warning, "en")).join("; ");
    rows.push([path, ...probabilities.map((probability) => probability.toFixed(6)), ...words, sentences]);
  }
  return rows.map((row) => `${row.map(csvCell).join(",")}\n`).join("");
}

function csvCell(value) {
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

function saveCsv() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  link.download = "findings.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser reads it after the click
}
