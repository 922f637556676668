/** The language server's life: start, stop, restart one at a time, and what its requests answer. */

import * as vscode from "vscode";
import { LanguageClient, RevealOutputChannelOn, State, type LanguageClientOptions } from "vscode-languageclient/node";

import { fromPath, fromPython, trusted, type Launch } from "./launch";
import { findPython } from "./python";
import type { Gpu, Largest, Report } from "./report";
import { launchOptions, serverOptions } from "./settings";

const DOWNLOADS = "https://www.python.org/downloads/";
const LANGUAGES = ["python", "shellscript", "yaml"];

/** A command of the server's that the extension answers itself; undefined leaves it to the server. */
export type Handler = (command: string, args: unknown[]) => Promise<unknown> | undefined;

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  /** How the server was started last. */
  launch: Launch | undefined;
  private restarting: Promise<void> | undefined;
  private again = false;
  private readonly changed = new vscode.EventEmitter<State>();
  readonly onDidChangeState = this.changed.event;

  constructor(
    private readonly extension: vscode.Uri,
    private readonly log: vscode.LogOutputChannel,
    private readonly output: vscode.LogOutputChannel,
    private readonly handle: Handler,
  ) {}

  get isRunning(): boolean {
    return this.client?.state === State.Running;
  }

  /** What a person tells when asked how the server was started. */
  get description(): string {
    const version = this.client?.initializeResult?.serverInfo?.version ?? "not running";
    const command = this.launch === undefined ? "none" : [this.launch.command, ...this.launch.args].join(" ");
    return `server ${version}, started as ${command}`;
  }

  /** Start the server, or say in one message what it needs. */
  async start(): Promise<void> {
    this.launch = await this.chooseLaunch();
    if (this.launch === undefined) {
      return;
    }
    this.log.info(`starting ${this.launch.command} ${this.launch.args.join(" ")}`);
    const { command, args, env } = this.launch;
    this.client = new LanguageClient(
      "vramlint",
      "vramlint",
      { command, args, options: { env: { ...process.env, ...env } } },
      this.clientOptions(),
    );
    this.client.onDidChangeState((event) => {
      this.changed.fire(event.newState);
    });
    try {
      await this.client.start();
    } catch (error) {
      this.log.error(`the server did not start: ${String(error)}`);
      void this.offer(`vramlint's server did not start: ${String(error)}`);
    }
  }

  async stop(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await client?.dispose().catch((error: unknown) => {
      this.log.warn(`stopping: ${String(error)}`);
    });
    this.changed.fire(State.Stopped);
  }

  /** Stop and start; a call during a restart leads to one more after it. */
  async restart(): Promise<void> {
    if (this.restarting !== undefined) {
      this.again = true;
      return this.restarting;
    }
    this.restarting = this.restartOnce();
    await this.restarting;
    this.restarting = undefined;
    if (this.again) {
      this.again = false;
      await this.restart();
    }
  }

  /** The report of a document, under its own settings or with something assumed. */
  async report(
    uri: vscode.Uri,
    gpu?: string,
    overrides?: Record<string, unknown>,
  ): Promise<Report | undefined> {
    return this.ask<Report>("vramlint/report", { uri: uri.toString(), gpu: gpu ?? null, overrides: overrides ?? {} });
  }

  /** For each run the largest amounts that fit, under the same assumptions. */
  async largest(uri: vscode.Uri, gpu?: string, overrides?: Record<string, unknown>): Promise<Largest[]> {
    const params = { uri: uri.toString(), gpu: gpu ?? null, overrides: overrides ?? {} };
    return (await this.ask<Largest[]>("vramlint/largest", params)) ?? [];
  }

  async gpus(): Promise<Gpu[]> {
    return (await this.ask<Gpu[]>("vramlint/gpus", {})) ?? [];
  }

  async command(command: string, args: unknown[]): Promise<unknown> {
    return this.ask("workspace/executeCommand", { command, arguments: args });
  }

  dispose(): void {
    this.changed.dispose();
    void this.stop();
  }

  private async ask<Answer>(method: string, params: unknown): Promise<Answer | undefined> {
    if (this.client?.state !== State.Running) {
      return undefined;
    }
    return this.client.sendRequest<Answer>(method, params);
  }

  private async restartOnce(): Promise<void> {
    await this.stop();
    await this.start();
  }

  private async chooseLaunch(): Promise<Launch | undefined> {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const options = trusted(launchOptions(folder), vscode.workspace.isTrusted);
    const own = fromPath(options);
    if (own !== undefined) {
      return own;
    }
    const { python, refused } = await findPython(options, folder);
    if (python === undefined) {
      this.log.error(`no Python for the server: ${refused.join("; ")}`);
      void this.offer(
        "vramlint needs Python 3.11 or newer to run its server: choose an interpreter, or install one. " +
          `Looked at ${refused.join(", ")}.`,
      );
      return undefined;
    }
    return fromPython(python, options, this.extension.fsPath);
  }

  /** One message with both ways out. */
  private async offer(message: string): Promise<void> {
    const choose = "Set vramlint.interpreter";
    const install = "Install Python";
    const answer = await vscode.window.showErrorMessage(message, choose, install);
    if (answer === choose) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "vramlint.interpreter");
    } else if (answer === install) {
      await vscode.env.openExternal(vscode.Uri.parse(DOWNLOADS));
    }
  }

  private clientOptions(): LanguageClientOptions {
    const schemes = ["file", "untitled", "vscode-notebook-cell"];
    return {
      documentSelector: schemes.flatMap((scheme) =>
        LANGUAGES.filter((language) => scheme === "file" || language === "python").map((language) => ({ scheme, language })),
      ),
      initializationOptions: { settings: serverOptions() },
      outputChannel: this.output,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: {
        executeCommand: (command, args: unknown[], next): vscode.ProviderResult<unknown> =>
          this.handle(command, args) ?? next(command, args),
      },
    };
  }
}
