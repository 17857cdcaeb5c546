// Makes LocalStack's Kinesis (a Node program) listen on the loopback interface only; given to node with --require.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (options, ...rest) {
  const onLoopback = options !== null && typeof options === "object" && "port" in options;
  return listen.call(this, onLoopback ? { ...options, host: "127.0.0.1" } : options, ...rest);
};
