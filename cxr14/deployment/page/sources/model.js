/* The exported model in ONNX Runtime, compiled to WebAssembly, on one thread.

More threads would need headers that a page opened from a disk does not have. */

const CARD = JSON.parse(document.getElementById("card").textContent);

let session;

/** Return the content of a data block of the page, which holds gzip in base64, and remove it. */
async function takeBlock(id) {
  const element = document.getElementById(id);
  const base64 = element.textContent;
  element.remove();
  const packed = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(base64)
    : Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Uint8Array(await new Response(decompress([packed], "gzip")).arrayBuffer());
}

/** Load the model. */
async function startModel() {
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await takeBlock("runtime");
  session = await ort.InferenceSession.create(await takeBlock("model"), { executionProviders: ["wasm"] });
}

/** Return the pixels that the model takes of a radiograph. */
function modelInput({ gray, width, height }) {
  const { read_side: side, image_size: crop } = CARD.preprocessing;
  return centreCrop(resize(gray, width, height, side), side, crop);
}

/**
 * Read a radiograph.
 *
 * @returns probabilities and logits, one for each finding, and heatMaps, one array of cells for each finding,
 *   or null for a model without them.
 */
async function predict(radiograph) {
  const side = CARD.preprocessing.image_size;
  const gray = new ort.Tensor("uint8", modelInput(radiograph), [1, 1, side, side]);
  const { probabilities, logits, heat_maps: maps } = await session.run({ gray });
  const cells = maps ? maps.data.length / CARD.findings.length : 0;
  return {
    probabilities: Array.from(probabilities.data),
    logits: Array.from(logits.data),
    heatMaps: maps && CARD.findings.map((_, number) => maps.data.slice(number * cells, (number + 1) * cells)),
  };
}

/** Return whether a probability reaches the operating point of a finding; null where there is none. */
function isPositive(finding, probability) {
  return finding.operating_point === null ? null : probability >= finding.operating_point;
}
