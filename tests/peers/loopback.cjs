// Preloaded into servers that would listen on every interface: whatever they ask for, they listen on
// 127.0.0.1. Not for programs that read their address back before they listen.
"use strict";

const net = require("node:net");

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (first, ...rest) {
  const isPort = typeof first === "number" || /^\d+$/.test(String(first));
  if (isPort) {
    const callbacks = rest.filter((argument) => typeof argument === "function");
    return listen.call(this, { host: "127.0.0.1", port: Number(first) }, ...callbacks);
  }
  if (first !== null && typeof first === "object" && first.port !== undefined) {
    return listen.call(this, { ...first, host: "127.0.0.1" }, ...rest);
  }
  return listen.call(this, first, ...rest);
};
