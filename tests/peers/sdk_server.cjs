// A small server on the official TypeScript SDK:
//
//   node sdk_server.cjs PORT [CERTIFICATE KEY ROOTS]
//
// Serves on 127.0.0.1 at /mcp, the older revisions without sessions; with a certificate over TLS, HTTP/2
// where the client speaks it, and only clients that have one of ROOTS themselves. Says for each request
// which HTTP it came by. Knows no gateway.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const http2 = require("node:http2");

const { McpServer, createMcpHandler, fromJsonSchema } = require("@modelcontextprotocol/server");
const { toNodeHandler } = require("@modelcontextprotocol/node");

function made() {
  const server = new McpServer({ name: "typescript-sdk", version: "1" });
  const inputSchema = fromJsonSchema({
    type: "object",
    properties: { number: { type: "integer" } },
    required: ["number"],
  });
  server.registerTool("double", { description: "Twice as much.", inputSchema }, async ({ number }) => ({
    content: [{ type: "text", text: `twice ${number} is ${2 * number}` }],
  }));
  return server;
}

function main([port, certificate, key, roots]) {
  const mcp = toNodeHandler(createMcpHandler(made));
  const serve = (request, response) => {
    console.log(`HTTP/${request.httpVersion}`);
    if (request.url === "/mcp") return mcp(request, response);
    response.statusCode = 404;
    response.end();
  };
  const server = certificate
    ? http2.createSecureServer(
        {
          allowHTTP1: true,
          cert: fs.readFileSync(certificate),
          key: fs.readFileSync(key),
          ca: fs.readFileSync(roots),
          requestCert: true,
          rejectUnauthorized: true,
        },
        serve,
      )
    : http.createServer(serve);
  server.listen(Number(port), "127.0.0.1");
}

main(process.argv.slice(2));
