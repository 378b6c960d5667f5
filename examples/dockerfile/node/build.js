const fs = require("fs");
const mustache = require("mustache");

fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/main.js", mustache.render(fs.readFileSync("src/main.js.mustache", "utf8"), { unit: "ms" }));
