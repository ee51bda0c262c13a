/** @type {import("jest").Config} */
const project = (name, dir) => ({
  displayName: name,
  rootDir: __dirname,
  testMatch: [`<rootDir>/tests/${dir}/**/*.test.ts`],
  transform: {
    "^.+\\.ts$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2022" }, module: { type: "commonjs" } },
    ],
  },
  testEnvironment: "node",
  modulePathIgnorePatterns: ["<rootDir>/.local/", "<rootDir>/rendered/"],
});

module.exports = {
  // For a hang, not for speed: a busy machine takes many times as long as an idle one.
  testTimeout: 60_000,
  testSequencer: "<rootDir>/tests/sequencer.cjs",
  projects: ["unit", "component", "stack", "local", "standins", "images", "engine", "cluster"].map(
    (level) => project(level, level),
  ),
};
