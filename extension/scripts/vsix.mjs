// Packs the extension for the platform that `bundled/` was filled for; needs no network.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";

if (!existsSync("bundled/TARGET")) {
  console.error("bundled/ is empty: run `npm run libs` first");
  process.exit(1);
}
const target = readFileSync("bundled/TARGET", "utf8").trim();
// What a run from this folder left behind; .vscodeignore cannot leave out a part of what it takes in.
for (const one of readdirSync("bundled", { recursive: true, withFileTypes: true })) {
  if (one.isDirectory() && one.name === "__pycache__") {
    rmSync(path.join(one.parentPath ?? one.path, one.name), { recursive: true, force: true });
  }
}
for (const name of ["LICENSE", "CHANGELOG.md"]) {
  copyFileSync(`../${name}`, name);
}
const arguments_ = ["vsce", "package", "--no-dependencies", "--target", target, "-o", `vramlint-${target}.vsix`];
execFileSync("npx", ["--no-install", ...arguments_], { stdio: "inherit" });
