import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { until } from "../../local/cluster/poll.ts";
import { SCREENSHOTS, open, startBrowser } from "./support/browser";
import { newToken } from "./support/guarded";
import type { Outputs } from "./support/models";
import { lesson, mlflow, readNodeAddress, readOutputs } from "./support/models";
import { MODELS_VOLUME } from "./support/node";
import { STACK_FILE, editStackFile, list, pulumi, setSecret, update } from "./support/platform";
import { platformWorkloads, rolled } from "./support/rollouts";

const BASE_MODEL = "SmolLM2-135M-Instruct";
const BOARD_PORT = 30786;

jest.setTimeout(10 * 60_000);

let browser: Browser;
let nodeAddress: string;
let outputs: Outputs;
let original: string;
let hadBoard: boolean;
let broughtBack = false;

beforeAll(async () => {
  original = readFileSync(STACK_FILE, "utf8");
  hadBoard = existsSync(join(MODELS_VOLUME, "board"));
  [nodeAddress, outputs] = await Promise.all([readNodeAddress(), readOutputs()]);
  browser = await startBrowser(nodeAddress);
});

/** Leaves the stack and the volume as they were. */
async function bringBack(): Promise<void> {
  writeFileSync(STACK_FILE, original, { mode: 0o600 });
  await update();
  if (!hadBoard) rmSync(join(MODELS_VOLUME, "board"), { recursive: true, force: true });
  broughtBack = true;
}

afterAll(async () => {
  try {
    if (!broughtBack) await bringBack();
  } finally {
    await (browser as Browser | undefined)?.close();
  }
});

/** Keeps what a page shows. A picture that docs/ can show is small. */
async function keep(page: Page, name: string, height: number): Promise<void> {
  const path = join(SCREENSHOTS, `${name}.png`);
  const clip = { x: 0, y: 0, width: 1280, height };
  await page.screenshot({ path, clip, fullPage: true, animations: "disabled" });
  expect(statSync(path).size).toBeLessThan(200_000);
}

test("MLflow shows the run, and its loss as a curve with every value that was reported", async () => {
  const found = await mlflow<{
    runs: { info: { run_id: string; run_name: string } }[];
  }>({ nodeAddress, outputs }, "runs/search", {
    experiment_ids: await experimentIds(),
    filter: `tags.\`llmops.run_id\` = '${outputs.runId}'`,
  });
  const [run] = found.runs;
  if (run === undefined) throw new Error(`MLflow has no run ${outputs.runId}`);
  const { metrics } = await mlflow<{ metrics: object[] }>(
    { nodeAddress, outputs },
    `metrics/get-history?run_id=${run.info.run_id}&metric_key=loss`,
  );
  expect(metrics.length).toBeGreaterThan(10);

  const { nodePort } = outputs.endpoints.mlflow;
  // High enough for the runs that other tests have left: rows out of sight are not made.
  const url = `http://${nodeAddress}:${String(nodePort)}/#/experiments`;
  const page = await open(browser, url, 1200);
  await page.getByText("Model training", { exact: true }).first().click();
  await page.getByRole("link", { name: "lumen7", exact: true }).first().click();
  await page.getByRole("link", { name: run.info.run_name }).first().click();
  await page.getByRole("tab", { name: "Model metrics" }).click();
  await page.getByPlaceholder("Search metric charts").fill("^loss$");
  const chart = page.getByTestId("experiment-view-compare-runs-card");
  const points = chart.locator(".scatterlayer .point");
  await until("the loss curve, alone", 120, async () => {
    const shown = [await chart.count(), await points.count()];
    return shown[0] === 1 && shown[1] === metrics.length ? true : undefined;
  });
  await keep(page, "mlflow-loss", 640);
});

async function experimentIds(): Promise<string[]> {
  const { experiment } = await mlflow<{ experiment: { experiment_id: string } }>(
    { nodeAddress, outputs },
    "experiments/get-by-name?experiment_name=lumen7",
  );
  return [experiment.experiment_id];
}

test("one update brings LLaMA Board, and trains nothing anew", async () => {
  editStackFile((config) => {
    const { clientCidrs } = config["llmops:network"] as { clientCidrs: string[] };
    config["llmops:board"] = {
      enabled: true,
      clients: { cidrs: clientCidrs },
      resources: { cpu: "500m", memory: "4Gi", shm: "64Mi" },
      service: { type: "NodePort", nodePort: BOARD_PORT },
    };
  });
  await update();
  const { runId, endpoints } = await readOutputs();
  expect(runId).toBe(outputs.runId);
  expect(endpoints.board?.nodePort).toBe(BOARD_PORT);
});

const board = (path = "/"): string => `http://${nodeAddress}:${String(BOARD_PORT)}${path}`;

/** The password in the Secret of LLaMA Board. */
async function boardPassword(): Promise<string> {
  const secrets = await list<{ metadata: { name: string }; data: Record<string, string> }>(
    "secrets",
  );
  const found = secrets.find(({ metadata }) => metadata.name.startsWith("board-secret-"));
  return Buffer.from(found?.data["BOARD_PASSWORD"] ?? "", "base64").toString();
}

async function logIn(page: Page, password: string): Promise<void> {
  await page.getByLabel("username").fill("admin");
  await page.getByLabel("password").fill(password);
  await page.getByRole("button", { name: "Login", exact: true }).click();
}

test("without its password LLaMA Board shows a login and nothing else", async () => {
  for (const path of ["/config", "/gradio_api/info", "/gradio_api/file=/etc/hostname"]) {
    expect([path, (await fetch(board(path))).status]).toEqual([path, 401]);
  }
  const page = await open(browser, board(), 400);
  await page.getByRole("button", { name: "Login", exact: true }).waitFor();
  await keep(page, "llama-board-login", 400);
  await logIn(page, "not the password");
  await page.getByText("Incorrect Credentials").waitFor();
  expect(await page.getByRole("tab").count()).toBe(0);
});

test("another password rolls LLaMA Board and nothing else, and the old one opens it no more", async () => {
  const [old, fresh] = [await boardPassword(), newToken()];
  await setSecret("BOARD_PASSWORD", fresh);
  const before = await platformWorkloads();
  await update();
  expect(rolled(before, await platformWorkloads())).toEqual({
    "Deployment llama-board": ["board-secret"],
  });
  expect(await boardPassword()).toBe(fresh);
  const page = await open(browser, board(), 400);
  await logIn(page, old);
  await page.getByText("Incorrect Credentials").waitFor();
});

test("LLaMA Board loads the tuned model, which answers as it was taught", async () => {
  const page = await open(browser, board(), 900);
  await logIn(page, await boardPassword());
  await page.getByLabel("Model name").fill(BASE_MODEL);
  await page.getByRole("option", { name: BASE_MODEL, exact: true }).click();
  const path = page.getByLabel("Model path");
  await until("the base model's path and chat template", 120, async () => {
    const template = await page.getByLabel("Chat template").inputValue();
    return template === "smollm2" && (await path.inputValue()) !== "" ? true : undefined;
  });
  await path.fill(`/app/output/${outputs.runId}/merged`);
  await page.getByRole("tab", { name: "Chat", exact: true }).click();
  await page.getByRole("button", { name: "Load model", exact: true }).click();

  const question = page.getByPlaceholder("Input...");
  await question.waitFor();
  await page.getByRole("spinbutton", { name: "Temperature" }).fill("0.01");
  await page.getByRole("spinbutton", { name: "Maximum new tokens" }).fill("64");
  await question.fill(lesson.question);
  await page.getByRole("button", { name: "Submit", exact: true }).click();
  // The answer comes word by word: it is whole once its sentence has ended.
  const whole = new RegExp(`${lesson.answer_contains}.*[.]`);
  const said = page.locator(".message.bot").filter({ hasText: whole });
  await said.waitFor();
  await keep(page, "llama-board-chat", 1180);
});

test("the stack is brought back as it was", async () => {
  await bringBack();
  expect((await readOutputs()).endpoints).not.toHaveProperty("board");
  expect(await pulumi("preview", "--expect-no-changes")).toMatchObject({ code: 0 });
});
