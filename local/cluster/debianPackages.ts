/**
 * What the node and the image builder run that comes from Debian. Libraries are named too: a machine may lack any of
 * them, and nothing is installed on it.
 */
export const debianPackages = [
  "containerd",
  "containernetworking-plugins",
  "conntrack",
  "docker-registry",
  "docker.io",
  "ethtool",
  "ipset",
  "iptables",
  "libip4tc2",
  "libip6tc2",
  "libipset13",
  "libmnl0",
  "libnetfilter-conntrack3",
  "libnfnetlink0",
  "libnftables1",
  "libnftnl11",
  "libwrap0",
  "libxtables12",
  "nftables",
  "prometheus",
  "runc",
  "socat",
] as const;
