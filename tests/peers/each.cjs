// The official TypeScript client with many servers, one after the other:
//
//   node each.cjs MODE HTTP SERVERS
//
// MODE is how the revision is found, `legacy` or `auto`; HTTP is `http/1.1`, what Node speaks by itself, or
// `h2`. SERVERS is a JSON array of {"url", "token"} or {"command"}, each with the tool to call and its
// "arguments". Prints an array with one {"revision", "text"} or {"error"} for each. Fails when another HTTP
// than that was agreed on over TLS.
"use strict";

const diagnostics = require("node:diagnostics_channel");

const undici = require("undici");
const { Client, SSEClientTransport, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

async function main([mode, http, servers]) {
  const agreed = new Set();
  diagnostics.subscribe("undici:client:connected", ({ socket }) => {
    if (socket.encrypted) agreed.add(socket.alpnProtocol);
  });
  const done = [];
  for (const server of JSON.parse(servers)) {
    const told = (error) => ({ error: String(error?.stack ?? error) });
    done.push(await called(mode, http, server).catch(told));
  }
  agreed.delete(http);
  if (agreed.size > 0) throw new Error(`agreed on ${[...agreed]}`);
  console.log(JSON.stringify(done));
}

async function called(mode, http, server) {
  const client = new Client(
    { name: "typescript-peer", version: "1" },
    { versionNegotiation: { mode } },
  );
  await client.connect(transport(http, server));
  try {
    await client.listTools();
    const result = await client.callTool({ name: server.tool, arguments: server.arguments });
    const text = result.content.map((part) => part.text ?? "").join("\n");
    return { revision: client.getNegotiatedProtocolVersion?.() ?? null, text };
  } finally {
    await client.close();
  }
}

function transport(http, { url, token, command }) {
  if (command) {
    return new StdioClientTransport({ command: command[0], args: command.slice(1), env: process.env, stderr: "ignore" });
  }
  const options = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
  if (http === "h2") {
    const dispatcher = new undici.Agent({ allowH2: true });
    options.fetch = (where, init) => undici.fetch(where, { ...init, dispatcher });
  }
  const Transport = url.endsWith("/sse") ? SSEClientTransport : StreamableHTTPClientTransport;
  return new Transport(new URL(url), options);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
