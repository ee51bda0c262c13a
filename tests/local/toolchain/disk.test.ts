import { tmpdir } from "node:os";
import { join } from "node:path";

import { freeDisk, fullDisks, watchDisks } from "../../../local/toolchain/disk";

test("a full disk is told with its folder, what is free and what to do", () => {
  const free = (folder: string): number => (folder === "/cache" ? 0.34 : 1);
  expect(fullDisks(["/cache", "/checkout/.local"], free)).toEqual([
    "The disk that holds /cache is full: 0.3 GiB are free, and below 1 GiB no pod runs.\n" +
      "  what to do: make room on that disk, for example by make local-down in checkouts whose platform is not needed,\n" +
      "              then run make local again: it goes on where it stopped.",
  ]);
});

test("a folder that is not there yet counts as part of the one that will hold it", () => {
  expect(freeDisk(join(tmpdir(), "llmops-not", "there"))).toBe(freeDisk(tmpdir()));
});

test("a watch tells of a full disk once, and ends when it is told to", () => {
  jest.useFakeTimers();
  try {
    const told: string[] = [];
    let gib = 5;
    const watch = (name: string): (() => void) =>
      watchDisks(
        ["/cache"],
        () => told.push(name),
        () => gib,
      );
    watch("first");
    const endSecond = watch("second");
    jest.advanceTimersByTime(10_000);
    expect(told).toEqual([]);
    endSecond();
    gib = 0.9;
    jest.advanceTimersByTime(10_000);
    expect(told).toEqual(["first"]);
    expect(jest.getTimerCount()).toBe(0);
  } finally {
    jest.useRealTimers();
  }
});
