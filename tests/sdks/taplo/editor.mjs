// What an editor with Even Better TOML shows of a file: its language server, @taplo/lsp, asked as the editor asks it.
//
//     editor.mjs FILE ADDRESS SCHEMA TYPED
//
// ADDRESS is all of the network that there is, and SCHEMA is the file that stands there.  Prints one JSON value:
// {"diagnostics": [{"line", "message"}], "hover": {KEY: TEXT}, "completion": [KEY]}: what is underlined, what is shown
// beside each key of the file, and what is offered to somebody who types TYPED at its end.
import { readFile } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import taplo from "@taplo/lsp";

const [file, address, schema, typed] = process.argv.slice(2);
const uri = pathToFileURL(file).href;
const text = await readFile(file, "utf8");
const answers = new Map();
const publications = [];
let configured, published;
const configuration = new Promise((resolve) => (configured = resolve));
// What the parser finds, what the tree of values shows, and what the schema says: each is published.
const all = new Promise((resolve) => (published = resolve));

// The server fetches by the global function.
globalThis.fetch = async (request) => {
  const wanted = request.url ?? String(request);
  if (wanted !== address) throw new TypeError(`no network: ${wanted}`);
  const response = new Response(await readFile(schema), { headers: { "content-type": "application/json" } });
  return Object.defineProperty(response, "url", { value: wanted });
};
const environment = {
  now: () => new Date(),
  envVar: () => undefined,
  envVars: () => [],
  stdErrAtty: () => false,
  stdin: process.stdin,
  stdout: process.stderr,
  stderr: process.stderr,
  glob: () => [],
  readFile: (path) => readFile(path),
  writeFile: async () => {},
  urlToFilePath: (url) => (url.startsWith("file:") ? fileURLToPath(url) : url),
  isAbsolute,
  cwd: () => process.cwd(),
  findConfigFile: () => undefined,
  fetch: { fetch, Headers, Request, Response },
};
const server = await taplo.TaploLsp.initialize(environment, { onMessage });

function onMessage(message) {
  if (message.method === undefined) {
    answers.get(message.id)?.(message.result);
  } else if (message.id !== undefined) {
    // The one question of this server: the editor's settings, for each folder.
    const settings = message.params.items.map(() => ({ schema: { catalogs: [] } }));
    setImmediate(() => {
      server.send({ jsonrpc: "2.0", id: message.id, result: settings });
      configured();
    });
  } else if (message.method === "textDocument/publishDiagnostics") {
    if (publications.push(message.params.diagnostics) === 3) published();
  }
}
let last = 0;
const ask = (method, params) =>
  new Promise((resolve) => {
    answers.set(++last, resolve);
    server.send({ jsonrpc: "2.0", id: last, method, params });
  });
const tell = (method, params) => server.send({ jsonrpc: "2.0", method, params });

const root = new URL(".", uri).href;
await ask("initialize", {
  processId: null,
  rootUri: root,
  workspaceFolders: [{ uri: root, name: "project" }],
  capabilities: { workspace: { configuration: true }, textDocument: { hover: { contentFormat: ["markdown"] } } },
});
tell("initialized", {});
await configuration;
const document = { uri };
tell("textDocument/didOpen", { textDocument: { uri, languageId: "toml", version: 1, text } });
await all;
const problems = publications.at(-1);
const lines = text.split("\n");
const hover = {};
for (const [line, words] of lines.entries()) {
  const key = /^(\w+) *=/.exec(words)?.[1];
  if (key === undefined) continue;
  const shown = await ask("textDocument/hover", { textDocument: document, position: { line, character: 1 } });
  hover[key] = shown?.contents?.value ?? null;
}
tell("textDocument/didChange", {
  textDocument: { uri, version: 2 },
  contentChanges: [{ text: `${text}${typed}\n` }],
});
const end = { line: lines.length - 1, character: typed.length };
const offered = await ask("textDocument/completion", { textDocument: document, position: end });
console.log(
  JSON.stringify({
    diagnostics: problems.map(({ range, message }) => ({ line: range.start.line + 1, message })),
    hover,
    completion: (Array.isArray(offered) ? offered : (offered?.items ?? [])).map(({ label }) => label),
  }),
);
process.exit(0);
