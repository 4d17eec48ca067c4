/* A file that a person chose as a radiograph: its kind is told by its first bytes, not by its name. */

/** Decode a PNG, JPEG or DICOM file to a Radiograph. */
async function readRadiograph(file) {
  const head = new Uint8Array(await file.slice(0, 132).arrayBuffer());
  const inDicom = isDicom(head);
  if (inDicom && file.size > MOST_BYTES) throw new Refusal("tooLarge", { megabytes: MOST_BYTES / 1e6 });
  try {
    if (inDicom) return await decodeDicom(await contentOf(file));
    if (!file.size) throw new Refusal("empty");
    if (isPng(head)) return await decodePng(await contentOf(file));
    if (isJpeg(head)) return await decodeJpeg(await contentOf(file));
    throw new Refusal("notAPicture");
  } catch (error) {
    const isRefused = error instanceof Refusal;
    // What remains are tags and numbers that a damaged file cuts off, and sizes that a browser cannot take.
    if (inDicom) throw isRefused ? error : new Refusal("damagedDicom");
    throw new Refusal("undecodableFile", { reason: isRefused ? error.sentence : { id: "damaged" } });
  }
}

async function contentOf(file) {
  return new Uint8Array(await file.arrayBuffer());
}
