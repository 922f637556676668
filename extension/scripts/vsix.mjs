// Packs the extension for the platform that `bundled/` was filled for; needs no network.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync } from "node:fs";

if (!existsSync("bundled/TARGET")) {
  console.error("bundled/ is empty: run `npm run libs` first");
  process.exit(1);
}
const target = readFileSync("bundled/TARGET", "utf8").trim();
for (const name of ["LICENSE", "CHANGELOG.md"]) {
  copyFileSync(`../${name}`, name);
}
const arguments_ = ["vsce", "package", "--no-dependencies", "--target", target, "-o", `vramlint-${target}.vsix`];
execFileSync("npx", ["--no-install", ...arguments_], { stdio: "inherit" });
