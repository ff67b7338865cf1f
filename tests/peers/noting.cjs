// As noting.py, on the official TypeScript SDKs:
//
//   node noting.cjs SDK FILE [PORT]
//
// SDK is `sdk` (version 1: its own HTTP transport), `sdk-express` (the same behind the application that the
// SDK makes, whose body parser is another) or `server` (version 2, both eras).
"use strict";

const fs = require("node:fs");
const http = require("node:http");

const [sdk, file, port] = process.argv.slice(2);

function note(method, name, args) {
  let written = "deep";
  try {
    written = JSON.stringify(args ?? null);
  } catch {
    // Deeper than can be written.
  }
  fs.appendFileSync(file, JSON.stringify({ method, name, arguments: written }) + "\n");
}

const CAPABILITIES = { capabilities: { tools: {}, resources: {}, prompts: {} } };
const INFO = { name: "noting", version: "1" };

function answered(set) {
  set("tools/list", () => ({ tools: [] }));
  set("tools/call", ({ params }) => {
    note("tools/call", params.name, params.arguments);
    return { content: [{ type: "text", text: "done" }] };
  });
  set("resources/read", ({ params }) => {
    note("resources/read", params.uri);
    return { contents: [] };
  });
  set("prompts/get", ({ params }) => {
    note("prompts/get", params.name, params.arguments);
    return { messages: [] };
  });
}

function version1() {
  const { Server } = require("@modelcontextprotocol/sdk/server/index.js");
  const types = require("@modelcontextprotocol/sdk/types.js");
  const schemas = {
    "tools/list": types.ListToolsRequestSchema,
    "tools/call": types.CallToolRequestSchema,
    "resources/read": types.ReadResourceRequestSchema,
    "prompts/get": types.GetPromptRequestSchema,
  };
  const server = new Server(INFO, CAPABILITIES);
  answered((method, answer) => server.setRequestHandler(schemas[method], answer));
  return server;
}

function version2() {
  const { Server } = require("@modelcontextprotocol/server");
  const server = new Server(INFO, CAPABILITIES);
  answered((method, answer) => server.setRequestHandler(method, answer));
  return server;
}

async function one(request, response) {
  const { StreamableHTTPServerTransport } = require("@modelcontextprotocol/sdk/server/streamableHttp.js");
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  const server = version1();
  response.on("close", () => server.close());
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
}

function listener() {
  if (sdk === "server") {
    const { createMcpHandler } = require("@modelcontextprotocol/server");
    const { getRequestListener } = require("@hono/node-server");
    return getRequestListener((request) => createMcpHandler(version2).fetch(request));
  }
  if (sdk === "sdk-express") {
    const { createMcpExpressApp } = require("@modelcontextprotocol/sdk/server/express.js");
    const app = createMcpExpressApp();
    app.post("/mcp", one);
    return app;
  }
  return (request, response) => one(request, response).catch(() => response.destroy());
}

async function stdio() {
  if (sdk === "server") {
    const { serveStdio } = require("@modelcontextprotocol/server/stdio");
    serveStdio(version2);
    return;
  }
  const { StdioServerTransport } = require("@modelcontextprotocol/sdk/server/stdio.js");
  await version1().connect(new StdioServerTransport());
}

if (port) {
  http.createServer(listener()).listen(Number(port), "127.0.0.1");
} else {
  stdio();
}
