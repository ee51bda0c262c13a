import { parseSources, renderSources } from "../../../local/toolchain/aptSources";
import { pipSettings } from "../../../local/toolchain/baseImage";
import { parseSimulation } from "../../../local/toolchain/debs";
import { cacheRoot, instanceId } from "../../../local/toolchain/paths";
import { goIsEnough, renderFaults, sizeFaults } from "../../../local/toolchain/preflight";
import { pulumiIsEnough } from "../../../local/toolchain/pulumi";

const deb822 = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/debian.gpg

Types: deb deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
`;

describe("apt sources", () => {
  test("both formats give the release, its updates and its security fixes, and nothing else", () => {
    const oneLine = [
      "deb [signed-by=/keys/vendor.gpg arch=amd64] https://vendor.example/apt stable main",
      "# deb http://mirror.example/old bookworm main",
      "deb [signed-by=/keys/other.gpg] http://other.example/debian bookworm main",
    ].join("\n");
    expect(renderSources(parseSources([deb822, oneLine], "bookworm"))).toBe(
      "deb http://mirror.example/debian bookworm main contrib\n" +
        "deb http://mirror.example/debian bookworm-updates main contrib\n" +
        "deb http://mirror.example/security bookworm-security main\n",
    );
    expect(parseSources([oneLine], "bookworm")).toEqual([
      {
        uri: "http://other.example/debian",
        suite: "bookworm",
        components: ["main"],
        signedBy: "/keys/other.gpg",
      },
    ]);
  });

  test("a disabled stanza is left out", () => {
    expect(parseSources([`${deb822.split("\n\n")[0] ?? ""}\nEnabled: no\n`], "bookworm")).toEqual(
      [],
    );
  });
});

test("only the pip settings that mean something in an image are taken over", () => {
  const listed = [
    ":env:.find-links='/opt/wheels'",
    "global.index-url='https://index.example/simple'",
    "global.cert='/etc/ssl/certs/ca-certificates.crt'",
    ":env:.default-timeout='180'",
  ].join("\n");
  expect([...pipSettings(listed)]).toEqual([
    ["index-url", "https://index.example/simple"],
    ["timeout", "180"],
  ]);
});

test("apt's simulation names what would be unpacked, new or installed again", () => {
  const output = [
    "NOTE: This is only a simulation!",
    "Inst runc (1.1.5+ds1-1+deb12u1 Debian:12.15/oldstable, Debian-Security:12 [amd64])",
    "Inst openssl [3.0.1-1] (3.0.2-1 Debian:12.15/oldstable [amd64])",
    "Conf runc (1.1.5+ds1-1+deb12u1 Debian:12.15/oldstable [amd64])",
  ].join("\n");
  expect(parseSimulation(output)).toEqual(["openssl=3.0.2-1", "runc=1.1.5+ds1-1+deb12u1"]);
});

test.each([
  ["go1.26.8", true],
  ["go1.24", true],
  ["go1.23.9", false],
  ["go2.0", true],
  ["", false],
])("Go release %p is new enough: %p", (version, expected) => {
  expect(goIsEnough(version, [1, 24])).toBe(expected);
});

test.each([
  ["v3.259.0\n", true],
  ["v3.229.1", false],
  ["v4.0.0", true],
  ["nonsense", false],
])("Pulumi %p is new enough: %p", (version, expected) => {
  expect(pulumiIsEnough(version)).toBe(expected);
});

describe("preflight", () => {
  const needs = {
    disk: [{ folder: "/cache", gib: 30 }],
    memoryGib: 12,
    freeMemoryGib: 8,
    cores: 2,
    go: true,
  };
  const gib = 1024 ** 3;

  test("a machine that is large enough has no fault", () => {
    const machine = { freeDisk: () => 40, memory: 16 * gib, freeMemory: 9 * gib, cores: 2 };
    expect(sizeFaults(needs, machine)).toEqual([]);
  });

  test("all faults are told at once, each with what is there, what is needed and a remedy", () => {
    const machine = { freeDisk: () => 3.5, memory: 8 * gib, freeMemory: 9 * gib, cores: 1 };
    const text = renderFaults(sizeFaults(needs, machine));
    expect(text).toContain("3 things are missing");
    expect(text).toContain("/cache has 3.5 GiB of free disk space, 30 GiB are needed");
    expect(text).toContain("the machine has 8.0 GiB of memory, 12 GiB are needed");
    expect(text).toContain("the machine has 1 processor core(s), 2 are needed");
    expect(text.match(/what to do: /g)).toHaveLength(3);
  });

  test("memory that others use is told apart from memory that is not there", () => {
    const machine = { freeDisk: () => 40, memory: 16 * gib, freeMemory: 2 * gib, cores: 2 };
    expect(sizeFaults(needs, machine).map(({ what }) => what)).toEqual([
      "2.0 GiB of memory are available, 8 GiB are needed",
    ]);
  });
});

describe("folders and names", () => {
  test("the cache is where the user's caches are", () => {
    expect(cacheRoot({ XDG_CACHE_HOME: "/somewhere" })).toBe("/somewhere/llmops");
    expect(cacheRoot({ XDG_CACHE_HOME: "" })).toMatch(/\.cache\/llmops$/);
  });

  test("two checkouts are two instances; a given name is taken or refused", () => {
    expect(instanceId("/a", {})).toMatch(/^[0-9a-f]{6}$/);
    expect(instanceId("/a", {})).not.toBe(instanceId("/b", {}));
    expect(instanceId("/a", { LLMOPS_INSTANCE: "ci1" })).toBe("ci1");
    expect(() => instanceId("/a", { LLMOPS_INSTANCE: "Not good" })).toThrow(/LLMOPS_INSTANCE/);
  });
});
