// The official TypeScript client, driven from outside:
//
//   node typescript.cjs URL TOKEN STEPS
//
// STEPS is a JSON array of {"do": METHOD OF THE CLIENT, "with": PARAMETERS, "options": OF THE CALL, where there
// are any}. Prints an array with one
// {"result"} or {"error"} for each.
"use strict";

const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");

async function main([url, token, steps]) {
  const client = new Client({ name: "typescript-peer", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { Authorization: `Bearer ${token}` } },
  });
  await client.connect(transport);
  const done = [];
  for (const step of JSON.parse(steps)) {
    done.push(await tried(client, step));
  }
  await transport.terminateSession().catch((error) => {
    // The server does not know the session any more.
    if (error.data?.status !== 404) throw error;
  });
  await client.close();
  console.log(JSON.stringify(done));
}

async function tried(client, step) {
  try {
    return { result: (await client[step.do](step.with, step.options)) ?? null };
  } catch (error) {
    const { name, code, message, data } = error;
    return { error: { name, code, message, data } };
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
