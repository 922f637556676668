/** The extension: starts the server, shows what it says, and answers the commands of the palette. */

import * as vscode from "vscode";
import { State } from "vscode-languageclient/node";

import { compareWithCommit } from "./compare";
import { activeUri } from "./documents";
import { askForGpu, keepGpu } from "./gpu";
import { markdown } from "./markdown";
import { Panel } from "./panel";
import { onEnvironmentChange } from "./python";
import { worst } from "./runs";
import { Server } from "./server";
import { STARTING } from "./settings";
import { Status } from "./status";
import { checkWorkspace } from "./workspace";

const SETTLED = 300; // milliseconds after the last change before the status and the panel ask again
const RULES = "https://github.com/vramlint/vramlint/blob/main/docs/rules.md";

/** Nothing waits for the server: the editor goes on while it starts. */
export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("vramlint", { log: true });
  const output = vscode.window.createOutputChannel("vramlint server", { log: true });
  const problems = vscode.languages.createDiagnosticCollection("vramlint workspace");
  const version = (context.extension.packageJSON as { version: string }).version;
  const status = new Status(version);
  const server: Server = new Server(context.extensionUri, log, output, (command, args) => handle(panel, server, command, args));
  const panel = new Panel(context.extensionUri, server);
  const follow = settled(() => refresh(server, panel, status, log));
  context.subscriptions.push(log, output, problems, status, server, panel);
  context.subscriptions.push(
    server.onDidChangeState((state) => {
      status.busy(state === State.Starting, state === State.Running ? "" : "the server does not run");
      follow();
    }),
    vscode.window.onDidChangeActiveTextEditor(follow),
    vscode.window.onDidChangeActiveNotebookEditor(follow),
    vscode.workspace.onDidChangeTextDocument(follow),
    vscode.workspace.onDidOpenTextDocument((document) => {
      problems.delete(document.uri);
    }),
    vscode.workspace.onDidGrantWorkspaceTrust(() => server.restart()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (STARTING.some((name) => event.affectsConfiguration(name))) {
        void server.restart();
      } else if (event.affectsConfiguration("vramlint")) {
        follow();
      }
    }),
  );
  context.subscriptions.push(...commands(context, { server, panel, log, output, problems, version }));
  void onEnvironmentChange(() => void server.restart()).then((subscription) => {
    if (subscription !== undefined) {
      context.subscriptions.push(subscription);
    }
  });
  void server.start();
}

interface Parts {
  server: Server;
  panel: Panel;
  log: vscode.LogOutputChannel;
  output: vscode.LogOutputChannel;
  problems: vscode.DiagnosticCollection;
  version: string;
}

function commands(context: vscode.ExtensionContext, parts: Parts): vscode.Disposable[] {
  const { server, panel, log, output, problems } = parts;
  const table: Record<string, () => unknown> = {
    "vramlint.showPanel": () => onActive((uri) => panel.show(uri)),
    "vramlint.selectGpu": () => selectGpu(server),
    "vramlint.restart": () => server.restart(),
    "vramlint.showLogs": () => {
      log.show();
    },
    "vramlint.showServerLogs": () => {
      output.show();
    },
    "vramlint.serverInfo": () => vscode.window.showInformationMessage(server.description),
    "vramlint.collectDebugInformation": () => collect(parts),
    "vramlint.checkWorkspace": () => withLaunch(server, (launch) => checkWorkspace(launch, problems)),
    "vramlint.compareWithCommit": () => compare(server),
    "vramlint.copyReport": () => copy(server),
    "vramlint.openRules": () => vscode.env.openExternal(vscode.Uri.parse(RULES)),
    "vramlint.openWalkthrough": () =>
      vscode.commands.executeCommand("workbench.action.openWalkthrough", `${context.extension.id}#start`, false),
  };
  return Object.entries(table).map(([name, act]) => vscode.commands.registerCommand(name, act));
}

/** The server's own commands that an editor with a panel answers better. */
function handle(panel: Panel, server: Server, command: string, args: unknown[]): Promise<unknown> | undefined {
  if (command === "vramlint.explain") {
    const asked = (args[0] ?? {}) as { uri?: string; run?: number | null };
    return asked.uri === undefined ? undefined : panel.show(vscode.Uri.parse(asked.uri), asked.run ?? 0);
  }
  return command === "vramlint.pickGpu" && args.length === 0 ? selectGpu(server) : undefined;
}

async function selectGpu(server: Server): Promise<void> {
  const name = await askForGpu(await server.gpus());
  if (name !== undefined) {
    await keepGpu(name);
  }
}

async function refresh(server: Server, panel: Panel, status: Status, log: vscode.LogOutputChannel): Promise<void> {
  const uri = activeUri() ?? panel.shows; // the panel itself has no document
  try {
    status.show(uri === undefined || !server.isRunning ? undefined : await server.report(uri));
    if (panel.shows !== undefined && server.isRunning) {
      await panel.follow(panel.shows);
    }
  } catch (error) {
    log.warn(`no report: ${String(error)}`);
  }
}

/** Call once when it has been quiet for a moment. */
function settled(act: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => void act(), SETTLED);
  };
}

async function onActive(act: (uri: vscode.Uri) => Promise<void>): Promise<void> {
  const uri = activeUri();
  if (uri === undefined) {
    void vscode.window.showInformationMessage("vramlint: open a training script, a notebook or a recipe first.");
    return;
  }
  await act(uri);
}

async function withLaunch(server: Server, act: (launch: NonNullable<Server["launch"]>) => Promise<void>): Promise<void> {
  const { launch } = server;
  if (launch === undefined) {
    void vscode.window.showErrorMessage("vramlint: the server has not started; see its log.");
    return;
  }
  await act(launch);
}

function compare(server: Server): Promise<void> {
  return onActive((uri) =>
    withLaunch(server, async (launch) => {
      const report = await server.report(uri);
      if (report !== undefined) {
        await compareWithCommit(launch, uri, report);
      }
    }),
  );
}

function copy(server: Server): Promise<void> {
  return onActive(async (uri) => {
    const run = worst(await server.report(uri));
    if (run === undefined) {
      void vscode.window.showInformationMessage("vramlint: nothing in this file trains or generates.");
      return;
    }
    await vscode.env.clipboard.writeText(markdown(run));
    void vscode.window.setStatusBarMessage("vramlint: the report is in the clipboard", 4000);
  });
}

/** Everything that an issue needs, in a document that the person reads before sending. */
async function collect({ server, version }: Parts): Promise<void> {
  const settings = JSON.stringify(vscode.workspace.getConfiguration("vramlint"), null, 2);
  const content = [
    `vramlint extension ${version}`,
    server.description,
    `VS Code ${vscode.version} on ${process.platform} ${process.arch}, ${vscode.env.appName}`,
    `trusted workspace: ${String(vscode.workspace.isTrusted)}`,
    `settings: ${settings}`,
    "",
  ].join("\n");
  await vscode.window.showTextDocument(await vscode.workspace.openTextDocument({ content }));
}

/** The editor disposes of everything that was subscribed. */
export function deactivate(): void {
  // nothing beside the subscriptions
}
