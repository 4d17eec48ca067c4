/* Files and folders that a person chooses or drops. */

const SUFFIXES = /\.(png|jpe?g|dcm|dicom)$/i;
const NO_SUFFIX = /^[^.]+$|\.\d+$/; // scanners and archives often write DICOM files without a suffix

/** A chosen file; `path` is its name, in a folder with the names of the folders above it. */
class ChosenFile {
  constructor(file, path) {
    this.file = file;
    this.path = path;
    // A browser does not tell where a file lies: this is what two choices of one file have in common.
    this.identity = [path, file.size, file.lastModified].join("|");
  }
}

/** Return the files of an `<input type=file>`; of a folder those that look like radiographs. */
async function filesOfInput(input) {
  const found = [];
  for (const file of input.files) {
    if (!file.webkitRelativePath || (await looksLikeRadiograph(file, file.webkitRelativePath))) {
      found.push(new ChosenFile(file, file.webkitRelativePath || file.name));
    }
  }
  input.value = ""; // so that choosing the same file again is noticed
  return inOrder(found);
}

/** Return the files that were dropped, those of folders included, and the folders without a radiograph. */
async function filesOfDrop(transfer) {
  // Both lists are empty once this function has waited for anything.
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = Array.from(transfer.files, (file) => new ChosenFile(file, file.name));
  if (!entries.length) return { files: plain, emptyFolders: [] };
  const found = [];
  const emptyFolders = [];
  for (const entry of entries) {
    const files = await filesOfEntry(entry, true);
    if (entry.isDirectory && !files.length) emptyFolders.push(entry.name);
    found.push(...inOrder(files));
  }
  return { files: found, emptyFolders };
}

async function filesOfEntry(entry, isGiven = false) {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.name.startsWith(".") && !isGiven) return [];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return isGiven || (await looksLikeRadiograph(file, path)) ? [new ChosenFile(file, path)] : [];
  }
  const found = [];
  for (const inner of await entriesOf(entry.createReader())) found.push(...(await filesOfEntry(inner)));
  return found;
}

/** Read a folder to its end: a browser gives at most 100 entries at a time. */
async function entriesOf(reader) {
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}

async function looksLikeRadiograph(file, path) {
  if (path.split("/").some((name) => name.startsWith("."))) return false;
  if (SUFFIXES.test(file.name)) return true;
  return NO_SUFFIX.test(file.name) && isDicom(await contentOf(file.slice(0, 132)));
}

function inOrder(files) {
  return files.sort((one, other) => (one.path < other.path ? -1 : one.path > other.path ? 1 : 0));
}
