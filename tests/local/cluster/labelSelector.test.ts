import { selects } from "../../../local/cluster/labelSelector";

const labels = { app: "web", tier: "front" };

it.each([
  ["the empty selector", {}, true],
  ["equal labels", { matchLabels: { app: "web" } }, true],
  ["another value", { matchLabels: { app: "db" } }, false],
  ["In", { matchExpressions: [{ key: "app", operator: "In", values: ["web", "db"] }] }, true],
  ["In, absent", { matchExpressions: [{ key: "zone", operator: "In", values: ["a"] }] }, false],
  ["NotIn", { matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false],
  [
    "NotIn, absent",
    { matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] },
    true,
  ],
  ["Exists", { matchExpressions: [{ key: "tier", operator: "Exists" }] }, true],
  ["DoesNotExist", { matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] }, false],
  [
    "all requirements together",
    { matchLabels: { app: "web" }, matchExpressions: [{ key: "zone", operator: "Exists" }] },
    false,
  ],
])("%s", (_, selector, expected) => {
  expect(selects(selector, labels)).toBe(expected);
});

it("refuses an operator that does not exist", () => {
  const selector = { matchExpressions: [{ key: "app", operator: "Like" }] };
  expect(() => selects(selector, labels)).toThrow(/unknown operator/);
});
