// The official TypeScript client with many servers, one after the other:
//
//   node each.cjs MODE SERVERS
//
// MODE is how the revision is found, `legacy` or `auto`. SERVERS is a JSON array of {"url", "token"} or
// {"command"}, each with the tool to call and its "arguments". Prints an array with one {"revision",
// "text"} or {"error"} for each.
"use strict";

const { Client, SSEClientTransport, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

async function main([mode, servers]) {
  const done = [];
  for (const server of JSON.parse(servers)) {
    done.push(await called(mode, server).catch((error) => ({ error: String(error?.stack ?? error) })));
  }
  console.log(JSON.stringify(done));
}

async function called(mode, server) {
  const client = new Client(
    { name: "typescript-peer", version: "1" },
    { versionNegotiation: { mode } },
  );
  await client.connect(transport(server));
  try {
    await client.listTools();
    const result = await client.callTool({ name: server.tool, arguments: server.arguments });
    const text = result.content.map((part) => part.text ?? "").join("\n");
    return { revision: client.getNegotiatedProtocolVersion?.() ?? null, text };
  } finally {
    await client.close();
  }
}

function transport({ url, token, command }) {
  if (command) {
    return new StdioClientTransport({ command: command[0], args: command.slice(1), env: process.env, stderr: "ignore" });
  }
  const options = { requestInit: { headers: { Authorization: `Bearer ${token}` } } };
  const Transport = url.endsWith("/sse") ? SSEClientTransport : StreamableHTTPClientTransport;
  return new Transport(new URL(url), options);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
