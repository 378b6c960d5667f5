const ms = require("ms");

const text = process.argv.slice(2).join(" ");
console.log(`${text} is ${ms(text)} ms`);
