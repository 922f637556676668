// Two bundles: what runs in the extension host, and what the panel's webview loads.
import { build } from "esbuild";

const shared = { bundle: true, minify: true, sourcemap: false, logLevel: "warning" };
await build({
  ...shared,
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode"],
});
await build({
  ...shared,
  entryPoints: ["src/webview/panel.ts"],
  outfile: "dist/panel.js",
  platform: "browser",
  format: "iife",
  target: "es2022",
  loader: { ".css": "css" },
});
