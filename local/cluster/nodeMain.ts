import { runNode } from "./node.ts";

const [, , plan] = process.argv;
if (plan === undefined) throw new Error("usage: nodeMain.ts PLAN");
runNode(plan).catch((error: unknown) => {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exit(1);
});
