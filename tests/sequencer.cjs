const { relative, sep } = require("node:path");
const Sequencer = require("@jest/test-sequencer").default;

/**
 * The files that take turns on the one platform, in this order. What `make local` leaves is looked at before anything
 * else has changed it; each file leaves the platform as it found it.
 */
const CLUSTER = [
  "platform",
  "supplyChain",
  "monitoring",
  "frontDoor",
  "tracing",
  "operations",
  "training",
  "sources",
  "load",
  "browser",
].map((name) => ["tests", "cluster", `${name}.test.ts`].join(sep));

const placeOf = ({ path, context }) => {
  const file = relative(context.config.rootDir, path);
  const place = CLUSTER.indexOf(file);
  if (place < 0) throw new Error(`tests/sequencer.cjs does not say when ${file} has its turn`);
  return place;
};

/** Jest's own order, by the time that files took before; on the platform the same one every time. */
class PlatformLast extends Sequencer {
  sort(tests) {
    const onPlatform = (test) => test.context.config.displayName.name === "cluster";
    const others = tests.filter((test) => !onPlatform(test));
    const cluster = tests.filter(onPlatform).sort((one, other) => placeOf(one) - placeOf(other));
    return [...super.sort(others), ...cluster];
  }
}

module.exports = PlatformLast;
