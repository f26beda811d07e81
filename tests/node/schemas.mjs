// Compiles JSON Schemas with ajv in its default mode, which is strict: unknown keywords and formats are errors.
// Usage: node schemas.mjs FILE...
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";

let wrong = 0;
for (const file of process.argv.slice(2)) {
    const schema = JSON.parse(readFileSync(file, "utf8"));
    const said = [];
    const note = (...words) => said.push(words.join(" "));
    try {
        new Ajv2020.default({ logger: { log: note, warn: note, error: note } }).compile(schema);
    } catch (error) {
        said.push(error.message);
    }
    for (const words of said) {
        console.error(`${file}: ${words}`);
        wrong += 1;
    }
}
if (process.argv.length < 3) {
    console.error("no schema is given");
    wrong += 1;
}
process.exit(wrong === 0 ? 0 : 1);
