import { changesBetween } from "../diff.ts";
import type { Engine } from "../plugin.ts";
import { InitFailed } from "../messages.ts";
import type {
  CheckArgs,
  Checked,
  Difference,
  Existing,
  Live,
  Provider,
  Run,
  Target,
} from "../provider.ts";
import { hasUnknown, objectAt, redact, revealProps, type Props, asText } from "../values.ts";
import { ClusterAccess } from "./access.ts";
import { apply, find, idOf, keyFrom, keyOf, UnknownKind, type Apply } from "./api.ts";
import type { KubernetesClient } from "./client.ts";
import { settingsDifference, settingsOf, type Settings } from "./config.ts";
import { applyOnceServed, refuseExisting } from "./creation.ts";
import { annotation, replacingChanges } from "./kinds.ts";
import { withClearErrors } from "./errors.ts";
import { fieldManager, isAutonamed, refusals, withName } from "./naming.ts";
import { dryRun, planCreation } from "./plan.ts";
import { isComplete } from "./ready.ts";
import { render, unrender } from "./render.ts";
import { drifted, importedInputs, recorded, recordedManager, withSecrets } from "./state.ts";
import { awaitReady, NotReady, removeAndWait, type Wait } from "./waiting.ts";

/** Applies Kubernetes objects to an API server the way the official provider documents it. */
export class KubernetesProvider implements Provider {
  readonly version = "4.34.2";
  private readonly engine: Engine;
  private readonly stop = new AbortController();
  private settings: Settings = settingsOf({});
  private access: ClusterAccess;

  constructor(engine: Engine) {
    this.engine = engine;
    this.access = new ClusterAccess(engine, this.settings);
  }

  configure(config: Props): Promise<void> {
    this.settings = settingsOf(config);
    this.access = new ClusterAccess(this.engine, this.settings);
    return Promise.resolve();
  }

  diffConfig(olds: Props, news: Props): Difference {
    return settingsDifference(olds, news);
  }

  cancel(): void {
    this.stop.abort();
  }

  async check(args: CheckArgs): Promise<Checked> {
    const plain = revealProps(args.news);
    const [, group = "", typeName = ""] = args.type.split(":");
    const object = {
      ...plain,
      apiVersion: plain["apiVersion"] ?? group.replace(/^core\//, ""),
      kind: plain["kind"] ?? typeName,
    };
    const patch = typeName.endsWith("Patch") && object.kind !== typeName;
    if (patch || typeName.endsWith("List") || /^(helm|yaml|kustomize)/.test(group)) {
      throw new Error(
        `the kubernetes stand-in does not do ${args.type}; it applies single objects`,
      );
    }
    const named = withName(object, revealProps(args.olds), args);
    const inputs = await this.access.withNamespace(named);
    return { inputs: withSecrets(inputs, args.news), failures: refusals(inputs) };
  }

  async diff(existing: Existing, news: Props): Promise<Difference> {
    const object = revealProps(news);
    const changes = changesBetween(existing.inputs, news);
    const mutable = {
      configMaps: this.settings.configMapsMutable,
      secrets: this.settings.secretsMutable,
    };
    const replaces = replacingChanges(object, changes, mutable);
    const unready = await this.jobToRepeat(object, existing);
    const before = keyOf(revealProps(existing.state));
    const after = keyOf(object);
    const sameName = before.name === after.name && before.namespace === after.namespace;
    const deleteBeforeReplace =
      (replaces.length > 0 || unready !== undefined) && sameName && !isAutonamed(object);
    return {
      changes,
      replaces,
      deleteBeforeReplace,
      ...(unready === undefined ? {} : { replaceFor: unready }),
    };
  }

  async create(target: Target, inputs: Props, run: Run): Promise<{ id: string; state: Props }> {
    const object = revealProps(inputs);
    const manager = annotation(object, "patchFieldManager") ?? fieldManager(target.urn);
    return withClearErrors(inputs, async () => {
      if (run.preview) {
        const plan = await this.plan(object, manager, planCreation);
        const state = plan === undefined ? inputs : recorded(plan, inputs, manager);
        return { id: "", state };
      }
      if (this.settings.renderTo !== undefined) {
        await render(this.settings.renderTo, object);
        return { id: idOf(object), state: recorded(object, inputs, manager) };
      }
      const client = await this.access.connect();
      if (!this.settings.upsert) {
        await refuseExisting(client, object, manager);
      }
      const applied = await applyOnceServed(client, object, this.how(object, manager));
      return this.settle(target, applied, inputs, manager, run, "created");
    });
  }

  async update(existing: Existing, news: Props, run: Run): Promise<Props> {
    const object = revealProps(news);
    const manager =
      annotation(object, "patchFieldManager") ??
      recordedManager(existing.state) ??
      fieldManager(existing.urn);
    return withClearErrors(news, async () => {
      if (run.preview) {
        const plan = await this.plan(object, manager, dryRun);
        return plan === undefined ? news : recorded(plan, news, manager);
      }
      if (this.settings.renderTo !== undefined) {
        await render(this.settings.renderTo, object);
        return recorded(object, news, manager);
      }
      const client = await this.access.connect();
      const applied = await apply(client, object, this.how(object, manager));
      return (await this.settle(existing, applied, news, manager, run, "updated")).state;
    });
  }

  async read(existing: Existing): Promise<Live | undefined> {
    const state = revealProps(existing.state);
    if (this.settings.renderTo !== undefined) {
      return { id: existing.id, state: existing.state, inputs: existing.inputs };
    }
    const live = await find(await this.access.connect(), keyFrom(existing, state));
    if (live === undefined) {
      return undefined;
    }
    const inputs = revealProps(existing.inputs);
    const now =
      Object.keys(inputs).length === 0 ? importedInputs(live) : drifted(inputs, state, live);
    const manager = recordedManager(existing.state) ?? fieldManager(existing.urn);
    const marked = withSecrets(now, existing.inputs);
    return { id: existing.id, state: recorded(live, marked, manager), inputs: marked };
  }

  async delete(existing: Existing, run: Run): Promise<void> {
    const inputs = revealProps(existing.inputs);
    const state = revealProps(existing.state);
    const { namespace } = keyOf(state);
    const metadata = { ...objectAt(inputs, "metadata"), name: keyOf(state).name };
    const object = {
      ...inputs,
      metadata: namespace === undefined ? metadata : { ...metadata, namespace },
    };
    if (this.settings.renderTo !== undefined) {
      await unrender(this.settings.renderTo, object);
      return;
    }
    const client = await this.access.connect();
    await removeAndWait(object, this.waitFor(existing.urn, client, run));
  }

  /** A dry run on the server, or undefined where that cannot say anything yet. */
  private async plan(
    object: Props,
    manager: string,
    ask: typeof planCreation,
  ): Promise<Props | undefined> {
    if (hasUnknown(object) || this.settings.renderTo !== undefined) {
      return undefined;
    }
    try {
      return await ask(await this.access.connect(), object, this.how(object, manager));
    } catch (error) {
      return error instanceof UnknownKind
        ? undefined
        : this.access.withoutCluster(error, undefined);
    }
  }

  private how(object: Props, manager: string): Apply {
    const force = this.settings.forcePatches || annotation(object, "patchForce") === "true";
    return { manager, force, dryRun: false, signal: this.stop.signal };
  }

  private waitFor(urn: string, client: KubernetesClient, run: Run): Wait {
    return {
      client,
      signal: this.stop.signal,
      timeout: run.timeout,
      say: (message) => this.engine.status(message, urn),
    };
  }

  /** Waits for readiness; what is not ready stays in the engine's state and is tried again. */
  private async settle(
    target: Target,
    applied: Props,
    inputs: Props,
    manager: string,
    run: Run,
    verb: string,
  ): Promise<{ id: string; state: Props }> {
    try {
      const wait = this.waitFor(target.urn, await this.access.connect(), run);
      const ready = await awaitReady(applied, wait);
      await this.engine.status("", target.urn);
      return { id: idOf(ready), state: recorded(ready, inputs, manager) };
    } catch (error) {
      const { object = applied, reasons = [String(error)] } =
        error instanceof NotReady ? error : {};
      const clean = reasons.map((reason) => redact(reason, inputs));
      const what = `${asText(object["kind"])} ${idOf(object)}`;
      throw new InitFailed(
        `${what} was ${verb}, but did not become ready: ${clean.join("\n  ")}`,
        idOf(object),
        recorded(object, inputs, manager),
        inputs,
        clean,
      );
    }
  }

  private async jobToRepeat(object: Props, existing: Existing): Promise<string | undefined> {
    if (annotation(object, "replaceUnready") !== "true" || object["kind"] !== "Job") {
      return undefined;
    }
    try {
      const job = await find(await this.access.connect(), keyOf(revealProps(existing.state)));
      return isComplete(job) ? undefined : 'metadata.annotations["pulumi.com/replaceUnready"]';
    } catch (error) {
      return this.access.withoutCluster(error, undefined);
    }
  }
}
