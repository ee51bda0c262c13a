import { chooseLink, linkOf, preferredIndex } from "../../../local/cluster/addresses";

describe("chooseLink", () => {
  const index = preferredIndex("a1b2c3");

  it("takes the instance's own range when it is free", () => {
    expect(chooseLink("a1b2c3", ["127.0.0.1", "192.168.1.7/24"])).toEqual(linkOf("a1b2c3", index));
  });

  it.each([
    ["an address", `10.201.${index}.1`],
    ["a link's route", `10.201.${index}.0/30`],
    ["a wider route", `10.201.${index}.0/24`],
  ])("takes the next range where %s is in the way", (_, taken) => {
    const next = index === 254 ? 1 : index + 1;
    expect(chooseLink("a1b2c3", [taken])).toEqual(linkOf("a1b2c3", next));
  });

  it("ignores addresses of other networks", () => {
    expect(chooseLink("a1b2c3", ["10.200.0.0/16", "10.202.0.0/15", "172.16.0.0/12"])).toEqual(
      linkOf("a1b2c3", index),
    );
  });

  it.each(["10.201.0.0/16", "10.0.0.0/8"])("says so when %s covers everything", (route) => {
    expect(() => chooseLink("a1b2c3", [route])).toThrow(/no free address range/);
  });

  it("gives every instance a range between 1 and 254", () => {
    for (const instance of ["", "0", "zzzzzz", "f2af6c", "cl0001"]) {
      expect(preferredIndex(instance)).toBeGreaterThanOrEqual(1);
      expect(preferredIndex(instance)).toBeLessThanOrEqual(254);
    }
  });

  it("fits the kernel's 15 bytes for the name of a link", () => {
    expect(linkOf("abcdef", 1).name.length).toBeLessThanOrEqual(15);
  });
});
