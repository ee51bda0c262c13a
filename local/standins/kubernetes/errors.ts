import { InitFailed } from "../messages.ts";
import { redact, type Props } from "../values.ts";
import { ApiError } from "./client.ts";

const takeOver =
  ' (another field manager owns it: annotate with "pulumi.com/patchForce": "true" to take it over)';

/** Errors from the server may quote a value: secret ones are blanked out. A conflict gets its remedy. */
export async function withClearErrors<T>(inputs: Props, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof InitFailed || !(error instanceof Error)) {
      throw error;
    }
    const hint = error instanceof ApiError && error.status === 409 ? takeOver : "";
    throw new Error(`${redact(error.message, inputs)}${hint}`, { cause: error });
  }
}
