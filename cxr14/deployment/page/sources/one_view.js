/* One radiograph: its picture, and a table of its findings. */

const oneView = { answer: null, radiograph: null, finding: null };

/** Show the answer of a radiograph; its file is decoded again, so that no picture has to be kept. */
async function showAnswer(answer) {
  oneView.answer = answer;
  oneView.finding = null;
  oneView.radiograph = await readRadiograph(answer.file);
  byId("one").hidden = false;
  await renderOne();
}

function hideAnswer() {
  oneView.answer = null;
  byId("one").hidden = true;
}

/** Draw the heat map of a finding, or none where it is drawn already. */
async function toggleHeatMap(number) {
  oneView.finding = oneView.finding === number ? null : number;
  await renderOne();
}

async function renderOne() {
  const { answer, radiograph, finding } = oneView;
  if (!answer) return;
  byId("one-name").textContent = answer.path;
  byId("one-warnings").replaceChildren(...answer.warnings.map((warning) => make("li", say(warning))));
  byId("one-warnings").hidden = !answer.warnings.length;
  renderFindings();
  const heatMap = finding === null ? null : answer.heatMaps[finding];
  const about = heatMap
    ? text("heatMapOf", { finding: findingName(CARD.findings[finding]), where: describeHeatMap(heatMap) })
    : text(answer.heatMaps ? "noHeatMapChosen" : "noHeatMaps", { pixels: CARD.preprocessing.image_size });
  byId("picture").setAttribute("aria-label", `${text("radiograph")} ${answer.path}. ${about}`);
  byId("picture-text").textContent = about;
  await drawRadiograph(byId("picture"), radiograph, heatMap);
}

function renderFindings() {
  const rows = CARD.findings.map((finding, number) => {
    const probability = oneView.answer.probabilities[number];
    const positive = isPositive(finding, probability);
    const row = make("tr");
    row.classList.toggle("positive", positive === true);
    const head = make("th");
    head.scope = "row";
    head.append(findingControl(finding, number));
    row.append(head, barCell(finding, probability), make("td", decimals(probability), "number"));
    row.append(make("td", decimals(finding.operating_point), "number"), make("td", yesOrNo(positive), "answer"));
    return row;
  });
  const focused = byId("findings").contains(document.activeElement) ? document.activeElement.dataset.number : null;
  byId("findings").replaceChildren(...rows);
  if (focused) byId("findings").querySelector(`[data-number="${focused}"]`).focus();
}

/** Return the button of a finding's heat map; without heat maps the name alone. */
function findingControl(finding, number) {
  if (!oneView.answer.heatMaps) return make("span", findingName(finding));
  const button = make("button", findingName(finding));
  button.type = "button";
  button.dataset.number = number;
  button.setAttribute("aria-pressed", oneView.finding === number);
  button.addEventListener("click", () => toggleHeatMap(number));
  return button;
}

/** Return a bar of the probability with a mark at the operating point; the numbers stand beside it. */
function barCell(finding, probability) {
  const cell = make("td", "", "bar");
  cell.setAttribute("aria-hidden", "true");
  const bar = make("span", "", "share");
  bar.style.setProperty("--share", probability);
  cell.append(bar);
  if (finding.operating_point !== null && finding.operating_point <= 1) {
    const mark = make("span", "", "mark");
    mark.style.setProperty("--share", finding.operating_point);
    cell.append(mark);
  }
  return cell;
}

/** Move between the findings with the arrow keys, as well as with Tab. */
function moveWithArrows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const number = Number(event.target.dataset.number);
  if (!step || Number.isNaN(number)) return;
  const next = byId("findings").querySelector(`[data-number="${number + step}"]`);
  if (next) {
    next.focus();
    event.preventDefault();
  }
}
