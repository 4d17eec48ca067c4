/* Stored values of a DICOM file as the file says they are to be displayed, in 8 bits.

The order is the standard's (PS3.4, annex N.2): modality transformation, then the first VOI table or window,
then the scale to 8 bits from the known range of the output. MONOCHROME1 is inverted once, so that bones are
bright. Every step computes as predict.py does, in floating point of 64 bits. */

/** Return a byte for each pixel. */
function displayedGray(data, stored) {
  const { bitsStored } = pictureOf(data);
  const modality = modalityTransformation(data);
  let values = Float64Array.from(stored, modality.apply);
  let range = modality.ends.toSorted((one, other) => one - other);
  const centre = decimal(data, TAGS.windowCentre);
  const width = decimal(data, TAGS.windowWidth);
  const table = firstItem(data, TAGS.voiTable);
  if (table) {
    const { lookUp, bits } = readTable(table, pictureOf(data).isSigned);
    values = values.map(lookUp);
    range = [0, 2 ** bits - 1];
  } else if (centre !== null && width !== null) {
    values = values.map(voiWindow(data, centre, width, modality.windowEnds));
  } else if (width === null && bitsStored > 8) {
    range = rangeOf(values);
  }
  return scaleToBytes(values, range, data.string(TAGS.interpretation) === "MONOCHROME1");
}

/** Return what makes stored values the values of the modality, and the ends of their range. */
function modalityTransformation(data) {
  const { bitsStored, isSigned } = pictureOf(data);
  const table = firstItem(data, TAGS.modalityTable);
  if (table) {
    const { lookUp, bits } = readTable(table, isSigned);
    if (bits % 8) throw new Refusal("window");
    const ends = [0, 2 ** bits - 1];
    return { apply: lookUp, ends, windowEnds: ends };
  }
  const lowest = isSigned ? -(2 ** (bitsStored - 1)) : 0;
  const ends = [lowest, lowest + 2 ** bitsStored - 1];
  const slope = decimal(data, TAGS.slope);
  const intercept = decimal(data, TAGS.intercept);
  if (slope === null) return { apply: (value) => value, ends, windowEnds: ends };
  // predict.py counts a slope without its intercept in the range alone.
  const apply = intercept === null ? (value) => value : (value) => value * slope + intercept;
  return { apply, ends: ends.map((end) => end * slope + (intercept ?? 0)), windowEnds: ends.map(apply) };
}

function firstItem(data, tag) {
  return data.elements[tag]?.items?.[0]?.dataSet;
}

/** Return the first number of a decimal string; null where the file has none. */
function decimal(data, tag) {
  const element = data.elements[tag];
  if (!element || !element.length) return null;
  const number = Number(data.string(tag).split("\\")[0]);
  if (Number.isNaN(number)) throw new Refusal("window");
  return number;
}

/** Return the function of a window (PS3.3, C.11.2.1.2 and C.11.2.1.3) with results between two ends. */
function voiWindow(data, centre, width, [from, to]) {
  const kind = (data.string(TAGS.windowFunction) ?? "LINEAR").toUpperCase();
  const range = to - from;
  if (kind === "SIGMOID") {
    if (width <= 0) throw new Refusal("window");
    return (value) => range / (1 + Math.exp((-4 * (value - centre)) / width)) + from;
  }
  if (!["LINEAR", "LINEAR_EXACT"].includes(kind)) throw new Refusal("window");
  if (kind === "LINEAR" ? width < 1 : width <= 0) throw new Refusal("window");
  const [middle, wide] = kind === "LINEAR" ? [centre - 0.5, width - 1] : [centre, width];
  return (value) => {
    if (value <= middle - wide / 2) return from;
    if (value > middle + wide / 2) return to;
    return ((value - middle) / wide + 0.5) * range + from;
  };
}

/** Return bits and function of a table (PS3.3, C.11.1.1): values outside get its first or last entry. */
function readTable(table, isSigned) {
  const entries = table.uint16(TAGS.tableDescriptor, 0) || 2 ** 16;
  const first = isSigned ? table.int16(TAGS.tableDescriptor, 1) : table.uint16(TAGS.tableDescriptor, 1);
  const bits = table.uint16(TAGS.tableDescriptor, 2);
  const data = table.elements[TAGS.tableData];
  const isKnown = bits === 8 || (bits >= 10 && bits <= 16);
  if (!isKnown || !data || data.length < 2 * entries) throw new Refusal("window");
  const results = Uint16Array.from({ length: entries }, (_, place) => table.uint16(TAGS.tableData, place));
  const lookUp = (value) => results[Math.min(Math.max(Math.trunc(value - first), 0), entries - 1)];
  return { lookUp, bits };
}

function scaleToBytes(values, [low, high], isInverted) {
  if (![low, high].every(Number.isFinite) || !values.every(Number.isFinite)) throw new Refusal("window");
  const gray = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const share = high > low ? Math.min(Math.max((values[i] - low) / (high - low), 0), 1) : 0;
    gray[i] = Math.floor((isInverted ? 1 - share : share) * 255 + 0.5);
  }
  return gray;
}

function rangeOf(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}
