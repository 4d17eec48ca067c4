/* A file that a person chose as a radiograph: its kind is told by its first bytes, not by its name. */

/** Decode a PNG, JPEG or DICOM file to a Radiograph. */
async function readRadiograph(file) {
  const head = new Uint8Array(await file.slice(0, 132).arrayBuffer());
  if (isDicom(head)) {
    if (file.size > MOST_BYTES) throw new Refusal("tooLarge", { megabytes: MOST_BYTES / 1e6 });
    return decodeDicom(await contentOf(file));
  }
  try {
    if (!file.size) throw new Refusal("empty");
    if (isPng(head)) return await decodePng(await contentOf(file));
    if (isJpeg(head)) return await decodeJpeg(await contentOf(file));
    throw new Refusal("notAPicture");
  } catch (error) {
    // What remains are sizes that this browser cannot take, and streams that end within a number.
    const reason = error instanceof Refusal ? error.sentence : { id: "damaged" };
    throw new Refusal("undecodableFile", { reason });
  }
}

async function contentOf(file) {
  return new Uint8Array(await file.arrayBuffer());
}
