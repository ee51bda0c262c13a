import { join } from "node:path";
import { ServerProcess } from "./server";
import type { ServerOptions } from "./server";

/** A running MLflow with a database of its own. */
export interface RunningMlflow {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts the program that `mlflow server` starts, with the same middlewares. The starter itself would leave it behind
 * when it is ended.
 */
export async function startMlflow(options: ServerOptions): Promise<RunningMlflow> {
  const { address } = options.place;
  const at = `${address}:${String(options.port)}`;
  const listen = ["--host", address, "--port", String(options.port)];
  const server = await ServerProcess.start(
    options,
    ["python", "-m", "uvicorn", ...listen, "mlflow.server.fastapi_app:app"],
    {
      ...process.env,
      _MLFLOW_SERVER_FILE_STORE: `sqlite:///${join(options.folder, "mlflow.db")}`,
      _MLFLOW_SERVER_ARTIFACT_ROOT: "mlflow-artifacts:/",
      _MLFLOW_SERVER_ARTIFACT_DESTINATION: join(options.folder, "artifacts"),
      _MLFLOW_SERVER_SERVE_ARTIFACTS: "true",
      MLFLOW_SERVER_ALLOWED_HOSTS: at,
      MLFLOW_DISABLE_TELEMETRY: "true",
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false",
    },
  );
  return { url: `http://${at}`, stop: () => server.stop() };
}
