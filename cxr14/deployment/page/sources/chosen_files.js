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
  // All lists are empty once this function has waited for anything.
  const nodes = Array.from(transfer.items, nodeOf);
  const plain = Array.from(transfer.files, (file) => new ChosenFile(file, file.name));
  const found = [];
  const emptyFolders = [];
  for (const [place, promised] of nodes.entries()) {
    const node = await promised;
    if (!isFolder(node)) {
      found.push(plain[place]);
      continue;
    }
    const files = await filesOfFolder(node, node.name);
    if (!files.length) emptyFolders.push(node.name);
    found.push(...inOrder(files));
  }
  return { files: found, emptyFolders };
}

/** Return a handle or, in browsers without them, an entry; Chromium opens no entry on a page of a disk. */
function nodeOf(item) {
  return item.getAsFileSystemHandle?.() ?? item.webkitGetAsEntry();
}

function isFolder(node) {
  return node?.kind === "directory" || node?.isDirectory === true;
}

async function filesOfFolder(folder, path) {
  const found = [];
  for (const node of await nodesIn(folder)) {
    const inner = `${path}/${node.name}`;
    if (isFolder(node)) {
      if (!node.name.startsWith(".")) found.push(...(await filesOfFolder(node, inner)));
      continue;
    }
    const file = await (node.getFile?.() ?? new Promise((resolve, reject) => node.file(resolve, reject)));
    if (await looksLikeRadiograph(file, inner)) found.push(new ChosenFile(file, inner));
  }
  return found;
}

async function nodesIn(folder) {
  const all = [];
  if (folder.values) {
    for await (const handle of folder.values()) all.push(handle);
    return all;
  }
  const reader = folder.createReader();
  for (;;) {
    // At most 100 entries at a time.
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
